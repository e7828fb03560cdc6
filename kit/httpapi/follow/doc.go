// Package follow lets HTTP clients wait for changes of an entity: for one response, with
// Prefer: wait=N ([Changes.Wait]), or for all events, with server-sent events
// ([Changes.Follow]). See the example.
//
// Waiting holds nothing in the service. One subscription in this process receives the
// service's change announcements (see bus.ChangesSubject) and wakes the clients that
// wait for that key. An announcement is only a hint to query the service, which decides
// each time what the client may see. Announcements can be lost, so waiting clients also
// query at intervals.
//
// A follower gets every event once and in order, beginning after its Last-Event-ID, until
// the last event or until its access token expires or is revoked. A follower's connection
// is hijacked from net/http, which saves memory. The number of followers and of waiting
// requests is bounded; beyond the bound the response is 503.
package follow
