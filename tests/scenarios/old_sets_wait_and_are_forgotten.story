# Old sets stay up for a minute, one at most; of those that are down two are kept.
apply manual.yaml
set strategy.canary.steps []
set strategy.canary.scaleDownDelaySeconds 60
set strategy.canary.scaleDownDelayRevisionLimit 1
set revisionHistoryLimit 2
until phase Healthy
release shop:v2
until revision 2 stable
release shop:v3
until revision 3 stable
until revision 1 gone
expect pods 2 4/4
# Back to a set that is still up: it is kept, and its end is called off.
release shop:v2
until revision 4 stable
expect pods 4 4/4
release shop:v4
until revision 5 stable
until phase Healthy
until revision 4 gone
