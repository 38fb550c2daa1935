//! Sign-in: what is refused and what is not.
