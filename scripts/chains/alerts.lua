-- SPDX-License-Identifier: MIT
-- A message whenever the reload of an app that some chain names fails. Needs [notify "ops"] in patchbay.ini.
chain "alerts" {
  on("*").error {
    notify { "ops", text = function(ev)
      local text = ("Reload of %s failed"):format(ev.app_name or ev.subject)
      if ev.error_message or ev.message then text = text .. ": " .. (ev.error_message or ev.message) end
      return text
    end },
    name = "failed reloads", cooldown = "1m",
  },
}
