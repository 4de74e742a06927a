-- SPDX-License-Identifier: MIT
for _, n in ipairs { "a", "b" } do app(n) { connector = "prod", id = "id-" .. n } end
chain "spring" { cron("30 2 29 3 *", "Europe/Stockholm") { "a" } } -- a time that this day has not
chain "autumn" { cron("30 2 25 10 *", "Europe/Stockholm") { "b" } } -- and one that this day has twice
