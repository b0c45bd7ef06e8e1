//! Test kit for stream-rs jobs: job driver, harness, real-broker fixture
