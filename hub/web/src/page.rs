//! Bodies of good answers: one thing, or a page of a list.

use serde::{Deserialize, Serialize};

use crate::{ApiError, ApiResult};

/// Largest page of a list of documents.
pub const MAX_LIMIT: usize = 1000;
/// Page size when the caller names none.
pub const DEFAULT_LIMIT: usize = 100;

/// One thing.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Data<T> {
    /// The thing.
    pub data: T,
}

/// Part of a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub data: Vec<T>,
    /// How to go on.
    pub pagination: Pagination,
}

/// How to go on in a list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Pagination {
    /// Value of `cursor` for the next page.
    pub next_cursor: Option<String>,
    /// Whether there is a next page.
    pub has_next: bool,
}

/// Which part of a list: the query of every list route.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct PageQuery {
    /// At most this many entries, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// The page size.
    ///
    /// # Errors
    /// 400 when it is not between 1 and [`MAX_LIMIT`].
    pub fn limit(&self) -> ApiResult<usize> {
        check_limit(self.limit)
    }
}

/// The page size that a caller asked for, or the default.
///
/// # Errors
/// 400 when it is not between 1 and [`MAX_LIMIT`].
pub fn check_limit(limit: Option<usize>) -> ApiResult<usize> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(
            ApiError::validation(format!("`limit` must be between 1 and {MAX_LIMIT}"))
                .with_details(serde_json::json!({"field": "limit"})),
        ),
    }
}

impl<T> Data<T> {
    /// Wraps it for the answer.
    pub const fn json(data: T) -> axum::Json<Self> {
        axum::Json(Self { data })
    }
}

impl<T> Page<T> {
    /// A page with the cursor of the next one, when there is one.
    pub const fn new(data: Vec<T>, next_cursor: Option<String>) -> Self {
        let has_next = next_cursor.is_some();
        Self {
            data,
            pagination: Pagination { next_cursor, has_next },
        }
    }

    /// A page cut from up to `limit + 1` entries, whose cursor is a key of its last entry.
    pub fn cut(mut entries: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(key);
        Self::new(entries, next)
    }
}
