//! rocksdb
