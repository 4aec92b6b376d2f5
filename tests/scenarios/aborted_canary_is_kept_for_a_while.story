# abortScaleDownDelaySeconds: the aborted canary stays for ten seconds, and a retry within them finds its pods.
apply manual.yaml
set strategy.canary.abortScaleDownDelaySeconds 10
until phase Healthy
release shop:v2
until phase Paused
abort
until weight 0
wait 5s
expect pods 2 1/1
retry
until phase Paused
expect weight 20
abort
until weight 0
until revision 2 gone
# With 0 it stays as it is.
set strategy.canary.abortScaleDownDelaySeconds 0
retry
until phase Paused
abort
until weight 0
wait 1m
expect pods 2 1/1
