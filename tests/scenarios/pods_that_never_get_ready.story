# The deadline passes: Degraded, and with progressDeadlineAbort the update is aborted by itself.
apply manual.yaml
until phase Healthy
set progressDeadlineAbort true
release shop:v2 simulation.sluice.dev/never-ready=true
until phase Degraded
expect message timed out progressing
expect weight 0
until revision 2 gone
