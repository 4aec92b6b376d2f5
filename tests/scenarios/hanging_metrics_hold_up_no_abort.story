# A metrics backend that never answers delays nobody: an abort is seen at once.
apply canary.yaml
until phase Healthy
metrics hang
release shop:v2
until phase Paused
abort
until phase Degraded
until weight 0
