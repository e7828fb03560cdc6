package service

import "lonja/internal/view"

// ChangesSubject is where a replica tells, on core NATS, that a view which its
// service announces has committed something about a key; the message is where
// the fact stands, STREAM:sequence, which is a consistency token. So whoever waits
// for news of the key holds nothing in the service: they ask again when they hear
// of it, with that token. Every replica tells, so the same may be heard several
// times; and since core NATS keeps nothing, it may not be heard at all: whoever
// listens also asks now and then without being told.
func ChangesSubject(service, key string) string { return "changes." + service + "." + key }

// announce tells of touched keys.
func (d *deps) announce(touched []view.Touch) {
	for _, t := range touched {
		subject := ChangesSubject(d.service.Name, t.Key)
		if err := d.Conn.Publish(subject, []byte(Position(t.Stream, t.Sequence))); err != nil {
			d.Logger.Debug("a change was not announced", "key", t.Key, "reason", err)
		}
	}
}
