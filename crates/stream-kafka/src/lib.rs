//! Kafka source, sink, partitioners and offset strategies for stream-rs
