-- What `query` sees, over the long table `rows` (one line per test and per metric).

-- A feature in one suite of one run: the loudest verdict of its tests, and why.
CREATE VIEW features AS
SELECT run, min(time) AS time, cell, torch, variant, accelerator, python, companions, execution,
    backend, provision, max(runner) AS runner, device_model, max(driver) AS driver, suite, feature,
    max(title) AS title, arg_min(verdict_of(verdict, waiver), loudness(verdict_of(verdict, waiver)))
    AS verdict, arg_min(reason, loudness(verdict_of(verdict, waiver))) AS reason,
    count(*) AS tests, max(recipe) AS recipe, max(evidence) AS evidence
FROM rows WHERE feature <> '' AND metric = '' AND verdict <> ''
GROUP BY run, cell, torch, variant, accelerator, python, companions, execution, backend, provision,
    device_model, suite, feature;

-- A feature in each place, by the newest evidence on each of its tests; a skip for want of
-- devices is none where the test ran on more. Two outcomes of one recipe are `flaky`, or `wrong`
-- where one of them is. `first_passed` and `last_passed` are of all tests.
CREATE VIEW newest AS
WITH suites AS (
    SELECT cell, execution, device_model, suite, run, any_value(recipe) AS recipe, count(*) AS tests
    FROM rows
    WHERE test <> '' AND metric = '' AND verdict <> ''
    GROUP BY cell, execution, device_model, suite, run
    HAVING bool_or(is_evidence(verdict))
), broken AS (
    SELECT cell, execution, device, device_model, suite, max(run) AS run
    FROM rows
    WHERE test = '' AND metric = '' AND verdict <> '' AND is_evidence(verdict)
    GROUP BY cell, execution, device, device_model, suite
), shown AS (
    -- as tables do: the last run, and earlier ones of other settings that ran more tests than all
    -- later ones; a test that is in none of them is no more, and none is of a cell that broke since
    SELECT cell, execution, device_model, suite, run, true AS is_shown
    FROM suites
    WHERE NOT EXISTS (
        FROM broken
        WHERE broken.cell = suites.cell AND broken.execution = suites.execution
            AND broken.suite = suites.suite AND broken.run > suites.run
            AND (broken.device = 'cpu' OR broken.device_model IN ('', suites.device_model)))
    QUALIFY run = max(run)
        OVER (PARTITION BY cell, execution, device_model, suite, settings_of(recipe))
        AND tests > coalesce(max(tests) OVER (
            PARTITION BY cell, execution, device_model, suite ORDER BY run
            ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 0)
), marked AS (
    SELECT *, stamp_of(verdict, reason, is_shown, time, run) AS stamp
    FROM rows LEFT JOIN shown USING (cell, execution, device_model, suite, run)
    WHERE feature <> '' AND metric = '' AND verdict <> ''
), recipes AS (
    SELECT cell, torch, variant, accelerator, python, companions, execution, backend, provision,
        device_model, suite, feature, test, recipe, max(title) AS title,
        bool_or(is_shown) AS is_shown, max(stamp) AS stamp, arg_max(driver, stamp) AS driver,
        arg_max(run, stamp) AS run, arg_max(time, stamp) AS time,
        arg_max(verdict_of(verdict, waiver), stamp) AS verdict, arg_max(reason, stamp) AS reason,
        -- without DISTINCT, whose hash tables would hold a line per run
        min(verdict) FILTER (verdict <> 'skip' AND stamp <> '') IS DISTINCT FROM
        max(verdict) FILTER (verdict <> 'skip' AND stamp <> '') AS differ,
        bool_or(verdict = 'wrong') AS was_wrong, count(*) FILTER (round < 2 AND stamp <> '') AS runs,
        min(time) FILTER (verdict = 'pass') AS first_passed,
        max(time) FILTER (verdict = 'pass') AS last_passed
    FROM marked
    GROUP BY cell, torch, variant, accelerator, python, companions, execution, backend, provision,
        device_model, suite, feature, test, recipe
), tests AS (
    SELECT cell, torch, variant, accelerator, python, companions, execution, backend, provision,
        device_model, suite, feature, test, max(title) AS title, arg_max(driver, stamp) AS driver,
        arg_max(run, stamp) AS run, arg_max(time, stamp) AS time, arg_max(reason, stamp) AS reason,
        arg_max(by_chance(verdict, differ, was_wrong, recipe), stamp) AS verdict,
        sum(runs) AS runs, min(first_passed) AS first_passed, max(last_passed) AS last_passed
    FROM recipes
    GROUP BY cell, torch, variant, accelerator, python, companions, execution, backend, provision,
        device_model, suite, feature, test
    HAVING bool_or(is_shown) AND max(stamp) <> ''
)
SELECT max(run) AS run, max(time) AS time, cell, torch, variant, accelerator, python, companions,
    execution, backend, provision, device_model, max(driver) AS driver, suite, feature,
    max(title) AS title, arg_min(verdict, loudness(verdict)) AS verdict,
    arg_min(reason, loudness(verdict)) AS reason, count(*) AS tests, max(runs)::BIGINT AS runs,
    max(first_passed) AS first_passed, min(last_passed) AS last_passed
FROM tests
GROUP BY cell, torch, variant, accelerator, python, companions, execution, backend, provision,
    device_model, suite, feature;

-- A number: median and interquartile range of its samples, in `unit`.
CREATE VIEW metrics AS
SELECT run, time, cell, torch, variant, accelerator, python, companions, execution, backend,
    provision, runner, device, device_model, driver, power_limit, suite, workload, title, params,
    metric, unit, better, median, spread, len(samples) AS samples, source, recipe, evidence
FROM rows WHERE metric <> '';

-- A suite of a cell in one run; what got no further has a `verdict` and a `reason`.
CREATE VIEW executions AS
SELECT run, min(time) AS time, cell, torch, variant, python, companions, execution, backend, provision,
    max(device_model) AS device_model, max(driver) AS driver, suite,
    max(CASE WHEN test = '' AND metric = '' THEN verdict ELSE '' END) AS verdict,
    max(CASE WHEN test = '' AND metric = '' THEN reason ELSE '' END) AS reason,
    count(*) FILTER (test <> '' AND verdict <> '') AS tests,
    count(*) FILTER (test <> '' AND verdict = 'pass') AS passed,
    count(*) FILTER (test <> '' AND waiver = '' AND is_bad(verdict)) AS bad
FROM rows
GROUP BY run, cell, torch, variant, python, companions, execution, backend, provision, suite;

CREATE VIEW runs AS
SELECT run, min(time) AS first, max(time) AS last, count(DISTINCT cell) AS cells,
    count(DISTINCT (cell, execution, suite)) AS executions, sum(tests)::BIGINT AS tests,
    sum(passed)::BIGINT AS passed, sum(bad)::BIGINT AS bad
FROM executions GROUP BY run;
