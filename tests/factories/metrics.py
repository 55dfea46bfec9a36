"""What a metric of this process says now."""

from prometheus_client.metrics import MetricWrapperBase


def metric_value(metric: MetricWrapperBase, suffix: str = "") -> float:
    """The value of a metric without labels, or of one child; `suffix` as in `_sum`, `_total`."""
    [family] = metric.collect()
    names = {family.name + suffix, family.name + "_total"} if not suffix else {family.name + suffix}
    [value] = [sample.value for sample in family.samples if sample.name in names]
    return value
