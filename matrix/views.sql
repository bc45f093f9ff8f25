-- What `query` sees, over the long table `rows` (one line per test and per metric).

-- A feature in one suite of one run: the loudest verdict of its tests, and why.
CREATE VIEW features AS
SELECT run, min(time) AS time, cell, torch, variant, accelerator, python, companions, execution,
    backend, provision, max(runner) AS runner, device_model, max(driver) AS driver, suite, feature,
    max(title) AS title, arg_min(verdict_of(verdict, waiver), loudness(verdict, waiver)) AS verdict,
    arg_min(reason, loudness(verdict, waiver)) AS reason, count(*) AS tests,
    max(recipe) AS recipe, max(evidence) AS evidence
FROM rows WHERE feature <> '' AND metric = '' AND verdict <> ''
GROUP BY run, cell, torch, variant, accelerator, python, companions, execution, backend, provision,
    device_model, suite, feature;

-- Of each feature in each place what the last run that had it says.
CREATE VIEW newest AS
SELECT * FROM features
QUALIFY row_number() OVER (
    PARTITION BY cell, execution, device_model, provision, suite, feature ORDER BY time DESC, run DESC
) = 1;

-- A number: median and interquartile range of its samples, in `unit`.
CREATE VIEW metrics AS
SELECT run, time, cell, torch, variant, accelerator, python, companions, execution, backend,
    provision, runner, device, device_model, driver, power_limit, suite, workload, title, params,
    metric, unit, better, median, spread, len(samples) AS samples, source, recipe, evidence
FROM rows WHERE metric <> '';

-- A suite of a cell in one run; what got no further has a `verdict` and a `reason`.
CREATE VIEW executions AS
SELECT run, min(time) AS time, cell, torch, variant, python, companions, execution, provision,
    max(device_model) AS device_model, max(driver) AS driver, suite,
    max(CASE WHEN test = '' AND metric = '' THEN verdict ELSE '' END) AS verdict,
    max(CASE WHEN test = '' AND metric = '' THEN reason ELSE '' END) AS reason,
    count(*) FILTER (test <> '' AND verdict <> '') AS tests,
    count(*) FILTER (test <> '' AND verdict = 'pass') AS passed,
    count(*) FILTER (test <> '' AND waiver = '' AND is_bad(verdict)) AS bad
FROM rows
GROUP BY run, cell, torch, variant, python, companions, execution, provision, suite;

CREATE VIEW runs AS
SELECT run, min(time) AS first, max(time) AS last, count(DISTINCT cell) AS cells,
    count(DISTINCT (cell, execution, suite)) AS executions, sum(tests)::BIGINT AS tests,
    sum(passed)::BIGINT AS passed, sum(bad)::BIGINT AS bad
FROM executions GROUP BY run;
