//! What an agent can do beyond the first version of the protocol.
//!
//! Neither end may send a message that the other does not know, since it does not decode there and ends the session. So an agent says what it can
//! behind the version in its [`Hello`](super::Hello), as build metadata of a semantic version: `0.1.0+drill`. To hubs of before that is just a version.

/// A message that not every agent knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// [`ToAgent::Drill`](super::ToAgent::Drill).
    Drill,
    /// [`ToAgent::Metrics`](super::ToAgent::Metrics).
    Metrics,
}

impl Ability {
    const fn name(self) -> &'static str {
        match self {
            Self::Drill => "drill",
            Self::Metrics => "metrics",
        }
    }
}

/// The version that an agent with these abilities gives.
#[must_use]
pub fn version_with(program: &str, abilities: &[Ability]) -> String {
    let names: Vec<&str> = abilities.iter().map(|ability| ability.name()).collect();
    match names.as_slice() {
        [] => program.to_owned(),
        names => format!("{program}+{}", names.join(".")),
    }
}

/// The program's version in what [`version_with`] gave, and what is said of abilities.
#[must_use]
pub fn split_version(version: &str) -> (&str, &str) {
    version.split_once('+').unwrap_or((version, ""))
}

/// Whether an agent of this version has an ability.
#[must_use]
pub fn can(version: &str, ability: Ability) -> bool {
    split_version(version).1.split('.').any(|name| name == ability.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_says_what_it_can_and_one_of_before_can_nothing() {
        let version = version_with("0.1.0", &[Ability::Drill]);
        assert_eq!(version, "0.1.0+drill");
        assert_eq!(split_version(&version), ("0.1.0", "drill"));
        assert!(can(&version, Ability::Drill));
        assert!(can("9.9.9+x.drill.y", Ability::Drill), "among others it does not know");
        for old in ["0.1.0", "", "0.1.0+", "drill", "0.1.0+drills"] {
            assert!(!can(old, Ability::Drill), "{old}");
        }
        assert_eq!(version_with("0.1.0", &[]), "0.1.0");
    }
}
