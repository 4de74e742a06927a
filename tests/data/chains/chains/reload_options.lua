-- SPDX-License-Identifier: MIT
app "a" { connector = "prod", id = "id-a" }
app "b" { connector = "prod", id = "id-b", partial = true, weight = 4, variables = { vDay = "2026-01-01" } }
app "c" { connector = "prod", name = "Report", space = "Data prep" }
app "far" { connector = "other tenant", id = "id-b" }
chain "x" { on("a").ok { "b", "c", "far" }, on("a").error { reload { "b", partial = false, weight = 5, variables = { vDay = "x" } } } }
