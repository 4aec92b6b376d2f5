# A Rollout at rest needs its router's objects for as long as it is there: what happens to them is noticed at any time.
apply manual.yaml
until phase Healthy
wait 30m
expect watched virtualservices
delete virtualservice shop
until phase Degraded
apply virtual-service.yaml
until phase Healthy
# Once nobody needs them any more, they are not followed any more.
delete rollout shop
wait 15m
expect unwatched virtualservices
