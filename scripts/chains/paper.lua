-- SPDX-License-Identifier: MIT
-- The chains of the paper "Serverless Task Chaining", repaired: its "2nd chain2" reloaded itself for ever, because two
-- entries shared a name. Put your own ids in; `patchbay import-apps apps.js` writes such a file from an apps.js.
app "test app1" { id = "b4a3cf85-5dd8-42f7-a864-3b2460215f8b" }
app "test app2" { id = "5f74af07-ea2f-4398-b15f-23b12abf8fef" }
app "test app3" { id = "6b57a80a-d9c4-4a0d-a5e0-f124dc68396e" }
app "test app4" { id = "9ffe941d-8eb9-42e5-bab2-72bac5ca4b59" }
app "test app5" { id = "163ca7fb-a684-4a4d-8d1c-37e3e372e1cc" }
app "2nd chain1" { id = "cdaccf05-236f-4ab6-b77a-25138ba0df2f" }
app "2nd chain2" { id = "9f824b21-d089-4e59-8596-ad1a0d483f3f" }
app "2nd chain3a" { id = "a11e3570-2dc9-4583-8417-d48bdd18602b" }
app "2nd chain3b" { id = "db086243-b615-4fbe-8983-2832284670db" }

chain "paper" {
  on("test app1").ok { "test app2", "test app3" },
  on("test app3").ok { "test app4" },
  on("test app4").ok { "test app5" },
  on("2nd chain1").ok { "2nd chain2" },
  on("2nd chain2").ok { "2nd chain3a" },
  on("2nd chain2").error { "2nd chain3b" },
}
