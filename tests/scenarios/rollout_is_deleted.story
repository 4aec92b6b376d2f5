# A Rollout that is deleted is said so, once, and nothing more is written for it (EVT-022, REC-004).
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
delete rollout shop
until event RolloutDeleted
wait 1m
