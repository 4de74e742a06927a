-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b", "c", "d", "e", "f" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "night" { cron("30 2 * * *", "Europe/Stockholm") { "a" }, on("a").ok { "b" } }
chain "watch" { deadline("b", "06:00 Europe/Stockholm") { notify "ops", since = "5h" } }
