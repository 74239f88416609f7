//! What SQLite says, in the words of the store.

use std::{io, path::Path};

use rusqlite::{Error, ErrorCode};

use crate::store::{Attempted, StoreError};

/// Of an error while a store is opened.
pub(super) fn opening(path: &Path) -> impl Fn(Error) -> StoreError + Copy {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreError::Held { path: path.to_owned() }
        }
        Some(ErrorCode::CannotOpen) => {
            StoreError::Open { path: path.to_owned(), reason: error.to_string() }
        }
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { path: path.to_owned() },
        Some(_) | None => told(Attempted::Open)(error),
    }
}

/// Of an error at any other time.
pub(super) fn told(attempted: Attempted) -> impl Fn(Error) -> StoreError + Copy {
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { attempted },
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { attempted },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { attempted, reason: source.to_string() }
        }
        Some(_) | None => StoreError::Database { attempted, source },
    }
}

/// Of an error with a file that SQLite does not make.
pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> StoreError + Copy {
    move |error| {
        let attempted = Attempted::Open;
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            StoreError::Full { attempted }
        } else if matches!(
            kind,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
        ) {
            StoreError::ReadOnly { attempted }
        } else {
            StoreError::Open { path: path.to_owned(), reason: error.to_string() }
        }
    }
}
