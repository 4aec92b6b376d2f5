# Somebody skips a step, then all that are left. A share comes only with its pods.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
skip
until step 3
expect weight 50
expect pods 2 2/2
skip all
until revision 2 stable
until phase Healthy
until revision 1 gone
