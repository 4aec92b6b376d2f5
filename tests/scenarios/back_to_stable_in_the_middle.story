# At 50 % somebody puts the stable template back: steps are skipped, traffic returns, no pod of stable was ever missing.
apply manual.yaml
until phase Healthy
release shop:v2
until phase Paused
promote
until step 3
release shop:v1
until event SkipSteps
until weight 0
until phase Healthy
expect revision 3 stable
until revision 2 gone
