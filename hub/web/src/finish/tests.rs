//! The service as callers see it.
