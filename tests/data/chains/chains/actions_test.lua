-- SPDX-License-Identifier: MIT
chains "chains/actions.lua"

test("an action, what follows its end, and the end of the chain", function()
  given { app = "a", status = "ok" }
  expect_action("aws.create_training_job", { TrainingJobName = "churn" })
  finish("aws.create_training_job")
  expect_reload("b")
  finish("b")
  expect_run("ok")
  expect_notify("ops", "trained") expect_nothing()
end)
test("it fails", function()
  given { app = "a", status = "ok" }
  finish("aws.create_training_job", "error") advance("5s")
  expect_action("aws.create_training_job") expect_action("aws.create_training_job")
  finish("aws.create_training_job", "error", "no capacity")
  expect_notify("ops", "no capacity")
  expect_reload("d")
end)
test("an event of another connector", function()
  given { connector = "aws", type = "training_job", subject = "churn", status = "Stopped" }
  expect_reload("c")
end)
