-- SPDX-License-Identifier: MIT
-- Needs the connectors of modeldb.lua in patchbay.ini.
chains "chains/modeldb.lua"

local aws    = "aws"         -- as in modeldb.lua
local stores = { "modeldb" }

local function job(tags, more, from)
  local j = { arn = "arn:aws:sagemaker:eu-west-1:111111111111:training-job/a-1", name = "a-1", account = "111111111111",
              status = "Completed", image = "123.dkr.ecr.eu-west-1.amazonaws.com/xgboost:1.5", tags = tags, metrics = {} }
  for k, v in pairs(more or {}) do j[k] = v end
  return event { connector = from or stores[1], type = "collect.done", subject = "a-1", ok = true, status = "ok", result = j }
end

-- Into each store, and nothing else happens.
local function expect_recorded()
  for _, store in ipairs(stores) do expect_action(store .. ".sync") end
  expect_nothing()
end

test("a job that has ended is collected", function()
  given(event { connector = aws, type = "training_job", subject = "a-1", status = "completed" })
  expect_action(stores[1] .. ".collect", { TrainingJobName = "a-1" })
  given(event { connector = aws, type = "training_job", subject = "a-2", status = "failed" })
  expect_action(stores[1] .. ".collect", { TrainingJobName = "a-2" })
  expect_nothing()
end)

test("one that goes on is not", function()
  given(event { connector = aws, type = "training_job", subject = "a-1", status = "in_progress" })
  expect_skip("it goes on")
  expect_nothing()
end)

test("its tags say project and model", function()
  given(job { MODEL_DB_SYNC = "true", MODEL_DB_PROJECT_NAME = "Churn", MODEL_DB_PROJECT_USER = "ann",
              MODEL_DB_PROJECT_DESC = "who leaves", MODEL_DB_MODEL_NAME = "trees", MODEL_DB_MODEL_TYPE = "XGBoost" })
  expect_recorded()
end)

test("without the sync tag nothing happens, and it is no error", function()
  given(job { MODEL_DB_PROJECT_NAME = "Churn" })
  expect_skip("it has no tag MODEL_DB_SYNC")
  expect_nothing()
end)

test("a sync tag that says no", function()
  given(job { MODEL_DB_SYNC = "false" })
  expect_skip("tag MODEL_DB_SYNC is \"false\"")
  expect_nothing()
end)

test("other tags have defaults, empty ones too", function()
  given(job { MODEL_DB_SYNC = "TRUE", MODEL_DB_PROJECT_NAME = "" })
  expect_recorded()
end)

test("whichever connector a backfill collects by", function()
  for _, from in ipairs(stores) do
    given(job({ MODEL_DB_SYNC = "yes" }, {}, from))
    expect_recorded()
  end
end)
