-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "train" {
  on("a").ok { action "aws.create_training_job" { TrainingJobName = "churn", retry = { max = 1, backoff = "5s" } } },
  on("aws.create_training_job.done").ok { "b" },
  on("aws.create_training_job.done").error { notify { "ops", text = function(ev) return "training: " .. ev.message end } },
  on("aws.training_job").canceled { "c" },
}
chain "ends" { on("train").ok { notify { "ops", text = "trained" } }, on("train").error { "d" } }
