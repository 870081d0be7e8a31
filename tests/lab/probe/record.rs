//! What a probe saw, one line of JSON each.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fs_err::File;
use serde::{Deserialize, Serialize};

/// One thing seen. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Record {
    /// A request that was answered, or was not.
    Asked {
        /// `kept`: on a connection that many requests share; `new`: on one of its own.
        way: String,
        what: String,
        begun: u64,
        /// Milliseconds.
        took: f64,
        error: Option<String>,
        /// How often the server had said that it had not taken it, so that it went to another connection.
        moved: usize,
        /// The version of the object that a write made.
        version: Option<u64>,
    },
    /// A watch told of an object's version.
    Event { at: u64, version: u64 },
    /// A watch said that it has told of all up to a version.
    Bookmark { at: u64, version: u64 },
    /// A watch began again: from which version, and why the one before ended.
    Watching { at: u64, from: u64, why: String },
    /// The watch could not go on from what it had seen: it had to list all objects again.
    Listed { at: u64, why: String },
}

/// A file of records that many tasks write.
#[derive(Clone)]
pub struct Out(Arc<Mutex<File>>);

impl Out {
    pub fn create(path: &str) -> Out {
        Out(Arc::new(Mutex::new(File::create(path).expect("the file can be made"))))
    }

    pub fn write(&self, record: &Record) {
        let line = serde_json::to_string(record).expect("a record is JSON") + "\n";
        self.0.lock().expect("no task panics while it writes").write_all(line.as_bytes()).expect("the file is there");
    }
}

/// All whole lines.
pub fn read(path: &Path) -> Vec<Record> {
    let text = fs_err::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("a probe writes records")).collect()
}
