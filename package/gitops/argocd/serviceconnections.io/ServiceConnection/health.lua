-- The health of a ServiceConnection: Progressing until Crossplane and the function have
-- looked at its spec as it is, Degraded with their message where somebody has to do
-- something, and Healthy once each connection works.

local function progressing(message)
  return { status = "Progressing", message = message }
end

if obj.status == nil or obj.status.conditions == nil then
  return progressing("Waiting for Crossplane")
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  conditions[condition.type] = condition
end

-- Crossplane writes this one, also where it can't ask the function.
local synced = conditions.Synced
if synced ~= nil and synced.status == "False" then
  if synced.reason == "ReconcilePaused" then
    return { status = "Suspended", message = synced.message or "Paused" }
  end
  if synced.observedGeneration == obj.metadata.generation then
    return { status = "Degraded", message = synced.message or synced.reason }
  end
end

-- Until then, the conditions below may be about an earlier spec.
local stalled = conditions.Stalled
if obj.status.observedGeneration ~= obj.metadata.generation then
  local message = "Waiting for the status of generation " .. tostring(obj.metadata.generation)
  if stalled ~= nil and stalled.status == "True" then
    message = message .. "; the last one said: " .. (stalled.message or stalled.reason)
  end
  return progressing(message)
end

-- Unknown is what Crossplane makes of it where it couldn't ask the function.
if stalled ~= nil and stalled.status ~= "False" then
  return { status = "Degraded", message = stalled.message or stalled.reason }
end

local ready = conditions.Ready
if ready ~= nil and ready.status == "True" then
  return { status = "Healthy", message = (obj.status.connected or "All") .. " connected" }
end

local connected = conditions.Connected
if connected ~= nil and connected.message ~= nil then
  return progressing(connected.message)
end
return progressing("Waiting for what is composed")
