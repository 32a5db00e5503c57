//! Every table of the database that other tests back up, by itself.

use pgdumpd_testkit::{cluster_of, fill};

use crate::archive::Archive;
use crate::judge;

async fn each_table_restores_by_itself(major: u32) {
    let Some(cluster) = cluster_of(major).await else {
        return;
    };
    let source = cluster.database().await;
    fill(&source, 1).await;
    let archive = Archive::dump(cluster, &source).await;
    let tables = archive.tables();
    assert!(tables.len() > 8, "{} tables", tables.len());
    for table in &tables {
        let selection = archive.toc.select(std::slice::from_ref(table)).unwrap();
        judge(cluster, &source, &archive, &selection).await;
        assert_eq!(selection.incomplete, [], "{table}");
    }
}

#[tokio::test]
async fn each_filled_table_restores_by_itself_on_postgresql_14() {
    each_table_restores_by_itself(14).await;
}

#[tokio::test]
async fn each_filled_table_restores_by_itself_on_postgresql_15() {
    each_table_restores_by_itself(15).await;
}

#[tokio::test]
async fn each_filled_table_restores_by_itself_on_postgresql_16() {
    each_table_restores_by_itself(16).await;
}

#[tokio::test]
async fn each_filled_table_restores_by_itself_on_postgresql_17() {
    each_table_restores_by_itself(17).await;
}

#[tokio::test]
async fn each_filled_table_restores_by_itself_on_postgresql_18() {
    each_table_restores_by_itself(18).await;
}
