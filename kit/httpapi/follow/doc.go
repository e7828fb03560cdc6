// Package follow lets HTTP clients wait for changes of a thing: with Prefer:
// wait, for one answer, or with server-sent events, for all that happens to it.
//
// Nobody holds anything in a service while they wait. One subscription hears what
// a service announces (see bus.ChangesSubject) and wakes those who wait for
// that key. What the thing looks like, and who may see it, is asked of the service
// each time: an announcement is only a hint to ask. Announcements can get lost, so
// those who wait also ask now and then.
//
// A follower sees every event once and in order, from its Last-Event-ID on, until
// the last one or until its access token expires or is revoked. Followers are taken
// out of net/http's hands, which makes them small; their number, and that of those
// who wait, is bounded.
package follow
