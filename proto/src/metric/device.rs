//! What kind of device a user agent stands for, by the words in it.
//!
//! The rules, in this order: no text is `unknown`; a word of a program that fetches by itself is a `bot`; `iPad`, `Tablet`, `Kindle`, and Android without
//! `Mobile` (what Google asks of tablets) is a `tablet`; `Mobi` (what Mozilla asks of phones), `iPhone` and `iPod` is `mobile`; the name of a desktop system is
//! `desktop`; anything else is `unknown`.

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A phone.
    Mobile,
    /// A tablet.
    Tablet,
    /// A computer with a screen.
    Desktop,
    /// A program.
    Bot,
    /// None of these by its words.
    Unknown,
}

const BOTS: [&str; 17] = [
    "bot",
    "crawl",
    "spider",
    "slurp",
    "curl/",
    "wget/",
    "python-",
    "python/",
    "go-http-client",
    "java/",
    "okhttp",
    "headless",
    "monitor",
    "preview",
    "fetch",
    "http://",
    "https://",
];
const TABLETS: [&str; 5] = ["ipad", "tablet", "kindle", "silk/", "playbook"];
const MOBILES: [&str; 6] = ["mobi", "iphone", "ipod", "windows phone", "blackberry", "opera mini"];
const DESKTOPS: [&str; 6] = ["windows", "macintosh", "x11", "linux", "cros", "mac os x"];

impl Device {
    /// Reads a user agent.
    #[must_use]
    pub fn of(user_agent: &str) -> Self {
        let text = user_agent.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if text.trim().is_empty() {
            Self::Unknown
        } else if has(&BOTS) {
            Self::Bot
        } else if has(&TABLETS) || (text.contains("android") && !text.contains("mobi")) {
            Self::Tablet
        } else if has(&MOBILES) {
            Self::Mobile
        } else if has(&DESKTOPS) {
            Self::Desktop
        } else {
            Self::Unknown
        }
    }

    /// Its name as a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Desktop => "desktop",
            Self::Bot => "bot",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn agents_of_the_wild_are_told_apart() {
        for (text, device) in [
            ("", Device::Unknown),
            ("SomethingElse/1.0", Device::Unknown),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                Device::Desktop,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
                Device::Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
                Device::Mobile,
            ),
            (
                "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
                Device::Mobile,
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X900) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
                Device::Tablet,
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
                Device::Tablet,
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                Device::Bot,
            ),
            ("curl/8.5.0", Device::Bot),
            ("python-requests/2.32.3", Device::Bot),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
                Device::Bot,
            ),
        ] {
            assert_eq!(Device::of(text), device, "{text}");
        }
    }
}
