//! Numbers as they are now, made for one answer and thrown away with it.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::table::{Labels, Metric};

type Series = Family<Labels, Gauge<f64, AtomicU64>>;

/// Gauges that were read somewhere else.
#[derive(Default)]
pub(crate) struct Figures(Vec<(&'static Metric, Series)>);

impl Figures {
    /// Sets the series with these labels, if there is a number.
    pub(crate) fn set<const N: usize>(
        &mut self,
        metric: &'static Metric,
        labels: [&str; N],
        number: Option<f64>,
    ) {
        let Some(number) = number else {
            return;
        };
        let labels = metric.labelled(labels.map(|value| Cow::Owned(value.to_owned())));
        let known = self.0.iter().find(|(known, _)| *known == metric);
        let series = match known {
            Some((_, series)) => series.clone(),
            None => {
                let series = Series::default();
                self.0.push((metric, series.clone()));
                series
            }
        };
        series.get_or_create(&labels).set(number);
    }

    /// Writes them in Prometheus' text format.
    pub(crate) fn write(&self, text: &mut String) -> fmt::Result {
        let mut registry = Registry::default();
        for (metric, series) in &self.0 {
            metric.register(&mut registry, series.clone());
        }
        encode(text, &registry)
    }
}
