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
local wanted = { "true", "1", "yes" } -- values of the sync tag that mean yes, in any case; nil: that it is there is enough
local mode = "default"                -- what becomes of a job that is to be recorded but has not all of the other tags:
                                      --   "default"  it gets what stands in defaults()
                                      --   "strict"   it is an alert that names the tags, and not recorded
                                      --   "seed"     as "strict", the sync tag is only looked for, a tag may be empty, and
                                      --              jobs that failed or were stopped are left out: as the older step
                                      --              function had it
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

-- Change a job before it is written: its project and names, `fields` for more facts, `metrics`, `hyperparameters`. Without a
-- job (`return nil, "why"`) it is not recorded. It is asked once for the rule and once for each store, with a fresh copy.
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
    if value:lower() == tostring(w):lower() then return true end
  end
end

-- The tag, or nil. One that is empty says nothing.
local function tag(job, name)
  local value = job.tags[tags[name]]
  if value == "" and mode ~= "seed" then return nil end
  return value
end

local names = { "project", "user", "description", "model_name", "model_type" }

local function mapped(job)
  local other = defaults(job)
  for _, name in ipairs(names) do job[name] = tag(job, name) or other[name] end
  return map(job)
end

-- Is it recorded? And why.
local function rule(ev)
  if not ev.ok then return false, "it could not be collected: " .. (ev.message or "") end
  local job = ev.result
  local name, status = job.name, job.status
  local function skip(why) return false, name .. ": " .. why end
  if mode == "seed" and status ~= "Completed" then return skip("its status is " .. status) end
  local sync = job.tags[tags.sync]
  if not sync then return skip("it has no tag " .. tags.sync) end
  if not is_wanted(sync) then return skip(("tag %s is %q"):format(tags.sync, sync)) end
  if #include > 0 and not any(job, include) then return skip("it matches nothing of include") end
  local out = any(job, exclude)
  if out then return skip("exclude has " .. out) end
  local missing = {}
  for _, one in ipairs(names) do
    if mode ~= "default" and not tag(job, one) then missing[#missing + 1] = tags[one] end
  end
  if #missing > 0 then error(("training job %s has no tag %s"):format(name, table.concat(missing, ", ")), 0) end
  local recorded, why = mapped(job)
  if not recorded then return skip(why or "map() left it out") end
  return true, name .. ": " .. status
end

local function sync(ev)
  return { job = mapped(ev.result) }
end

local function over(ev)
  local s = ev.status
  return s == "ok" or s == "error" or s == "canceled", "it goes on"
end

local links = {
  on(aws .. ".training_job").when(over) {
    action(stores[1] .. ".collect")(function(ev) return { TrainingJobName = ev.subject } end),
    name = "collect",
  },
}
-- A backfill may collect by any of them (--connector): each job goes into all.
for _, from in ipairs(stores) do
  local steps = { name = "record, collected by " .. from }
  for _, store in ipairs(stores) do steps[#steps + 1] = action(store .. ".sync")(sync) end
  links[#links + 1] = on(from .. ".collect.done").when(rule)(steps)
end
chain "modeldb"(links)
