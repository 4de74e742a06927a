-- SPDX-License-Identifier: MIT
-- Training jobs of SageMaker into ModelDB and MLflow, by their tags. A job that ends is collected (described anew, with its
-- tags and metrics), the rule below decides whether and as what it is recorded, and each store gets it by a job of its own:
-- one that is down holds none of the others. Put your connectors and tags in.

local aws    = "aws"         -- [connector "aws"]      plugin = sagemaker, poll.training_job = yes or the events route
local stores = { "modeldb" } -- [connector "modeldb"]  plugin = modeldb; further ones get every job, too

local tags = {               -- the keys of the tags
  sync        = "MODEL_DB_SYNC",
  project     = "MODEL_DB_PROJECT_NAME",
  user        = "MODEL_DB_PROJECT_USER",
  description = "MODEL_DB_PROJECT_DESC",
  model_name  = "MODEL_DB_MODEL_NAME",
  model_type  = "MODEL_DB_MODEL_TYPE",
}
local wanted = { "true", "1", "yes" } -- values of the sync tag that mean yes; nil: that it is there is enough
local mode = "default"                -- what becomes of a job that is to be recorded but has not all of the other tags:
                                      --   "default"  it gets what stands in defaults()
                                      --   "strict"   it is an alert that names the tags, and not recorded
                                      --   "seed"     as "strict", the sync tag is only looked for, and jobs that failed or
                                      --              were stopped are left out: as the older step function had it
local include = {}                    -- "team=risk", "stage=prod-*": at least one must match, when there are any
local exclude = {}                    -- and none of these

local function defaults(job)
  return {
    project     = "SageMaker",
    user        = job.account,
    description = "Training jobs of SageMaker",
    model_name  = job.name,
    model_type  = (job.image or job.algorithm or "unknown"):match("([^/:@]+)[:@]?[^/]*$"),
  }
end

-- Change a job before it is written: its project and names, `fields` for more facts, `metrics`, `hyperparameters`.
local function map(job)
  return job
end

-- ---------------------------------------------------------------------------------------------------------- the rule

local function matches(job, pattern)
  local key, value = pattern:match("^([^=]+)=(.*)$")
  if not key then error("\"" .. pattern .. "\" is no pattern: write key=value, * stands for anything", 0) end
  local has = job.tags[key]
  if not has then return false end
  local lua = value:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0"):gsub("%*", ".*")
  return has:match("^" .. lua .. "$") ~= nil
end

local function any(job, patterns)
  for _, p in ipairs(patterns) do
    if matches(job, p) then return p end
  end
end

local function is_wanted(value)
  if mode == "seed" or not wanted then return true end
  for _, w in ipairs(wanted) do
    if value:lower() == w then return true end
  end
end

-- Is it recorded? And why.
local function rule(ev)
  if not ev.ok then return false, "it could not be collected: " .. (ev.message or "") end
  local job = ev.result
  if mode == "seed" and job.status ~= "Completed" then return false, "its status is " .. job.status end
  local sync = job.tags[tags.sync]
  if not sync then return false, "it has no tag " .. tags.sync end
  if not is_wanted(sync) then return false, ("tag %s is %q"):format(tags.sync, sync) end
  if #include > 0 and not any(job, include) then return false, "it matches nothing of include" end
  local out = any(job, exclude)
  if out then return false, "exclude has " .. out end
  if mode == "default" then return true, job.status end
  local missing = {}
  for _, name in ipairs { "project", "user", "description", "model_name", "model_type" } do
    if not job.tags[tags[name]] then missing[#missing + 1] = tags[name] end
  end
  if #missing > 0 then error(("training job %s has no tag %s"):format(job.name, table.concat(missing, ", ")), 0) end
  return true, job.status
end

local function sync(ev)
  local job = ev.result
  local other = defaults(job)
  for name, value in pairs(other) do
    job[name] = job.tags[tags[name]] or value
  end
  return { job = map(job) }
end

local function over(ev)
  local s = ev.status
  return s == "ok" or s == "error" or s == "canceled", "it goes on"
end

local steps = { name = "record" }
for _, store in ipairs(stores) do steps[#steps + 1] = action(store .. ".sync")(sync) end

chain "modeldb" {
  on(aws .. ".training_job").when(over) {
    action(stores[1] .. ".collect")(function(ev) return { TrainingJobName = ev.subject } end),
    name = "collect",
  },
  on(stores[1] .. ".collect.done").when(rule)(steps),
}
