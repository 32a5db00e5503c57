//! The shared S3 server.

use pgdumpd_testkit::s3_server;

#[tokio::test]
async fn two_buckets_of_one_server_are_two() {
    let server = s3_server().await;
    let buckets = [server.bucket().await, server.bucket().await];
    assert_ne!(buckets[0], buckets[1]);
}
