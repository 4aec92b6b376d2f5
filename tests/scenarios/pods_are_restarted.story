# Every pod that is older than the restart is evicted, a few at a time; the canary's step and weight stay.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
wait 10s
restart pods
wait 15s
until phase Paused
expect step 1
expect weight 20
expect pods 1 4/4
expect pods 2 1/1
# Paused by hand, nothing goes on until somebody says so.
pause
until message manually paused
promote
until step 3
expect weight 50
promote full
until revision 2 stable
until phase Healthy
