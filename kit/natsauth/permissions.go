package natsauth

import (
	"slices"
	"strings"
)

// Permissions lists what one identity may publish and subscribe to. Subjects may
// contain wildcards. The zero value permits nothing.
type Permissions struct {
	Publish   []string
	Subscribe []string
	// DenyPublish lists exceptions from Publish.
	DenyPublish []string
	// AllowResponses permits replies to each request that is received: up to 64
	// messages within 30 seconds.
	AllowResponses bool
}

// Add adds what other permissions permit and deny. A subject that is denied by
// any of them is denied by the sum.
func (p *Permissions) Add(others ...Permissions) {
	for _, o := range others {
		p.Publish = append(p.Publish, o.Publish...)
		p.Subscribe = append(p.Subscribe, o.Subscribe...)
		p.DenyPublish = append(p.DenyPublish, o.DenyPublish...)
		p.AllowResponses = p.AllowResponses || o.AllowResponses
	}
}

// Sorted returns a copy with sorted subjects, each of them once.
func (p Permissions) Sorted() Permissions {
	return Permissions{unique(p.Publish), unique(p.Subscribe), unique(p.DenyPublish), p.AllowResponses}
}

func unique(subjects []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(subjects)))
}

// Widened returns the permissions with more of the same: more returns, for a subject that is permitted or
// denied, the further subjects to which that applies as well.
func (p Permissions) Widened(more func(subject string) []string) Permissions {
	widen := func(subjects []string) []string {
		all := slices.Clone(subjects)
		for _, subject := range subjects {
			all = append(all, more(subject)...)
		}
		return all
	}
	p.Publish, p.Subscribe, p.DenyPublish = widen(p.Publish), widen(p.Subscribe), widen(p.DenyPublish)
	return p
}

// Include reports whether everything that others permit to publish is listed here in the same words.
func (p Permissions) Include(others Permissions) bool {
	return !slices.ContainsFunc(others.Publish, func(subject string) bool { return !slices.Contains(p.Publish, subject) })
}

// InboxPrefix returns the prefix of an identity's reply subjects. Pass it to
// [nats.CustomInboxPrefix]. No other identity may subscribe there, because it
// could read the replies.
func InboxPrefix(identity string) string { return "_INBOX." + identity }

// AllowInbox permits an identity to receive replies. Every identity that sends
// requests, or uses JetStream, requires it.
func AllowInbox(identity string) Permissions {
	return Permissions{Subscribe: []string{InboxPrefix(identity) + ".>"}}
}

// AllowPublish permits publishing to subjects.
func AllowPublish(subjects ...string) Permissions { return Permissions{Publish: subjects} }

// AllowSubscribe permits subscribing to subjects.
func AllowSubscribe(subjects ...string) Permissions { return Permissions{Subscribe: subjects} }

// AllowReply permits receiving requests on subjects and replying to them.
func AllowReply(subjects ...string) Permissions {
	return Permissions{Subscribe: subjects, AllowResponses: true}
}

// api returns a subject of the JetStream API.
func api(parts ...string) string { return "$JS.API." + strings.Join(parts, ".") }

// AllowStreamInfo permits reading the state and configuration of a stream.
func AllowStreamInfo(stream string) Permissions { return AllowPublish(api("STREAM.INFO", stream)) }

// AllowRead permits reading any single message of a stream, whatever its subject.
// It includes AllowStreamInfo, and permits no consumer.
func AllowRead(stream string) Permissions {
	p := AllowStreamInfo(stream)
	p.Add(AllowPublish(api("STREAM.MSG.GET", stream), api("DIRECT.GET", stream), api("DIRECT.GET", stream, ">")))
	return p
}

// AllowGet permits reading single messages of a stream by sequence, from the
// stream's leader. It is narrower than AllowRead: the reply is JSON, which cannot
// be mistaken for the message itself, as a reply to DIRECT.GET can.
func AllowGet(stream string) Permissions {
	p := AllowStreamInfo(stream)
	p.Add(AllowPublish(api("STREAM.MSG.GET", stream)))
	return p
}

// AllowDelete permits deleting single messages of a stream. The stream must not
// be configured with deny_delete.
func AllowDelete(stream string) Permissions { return AllowPublish(api("STREAM.MSG.DELETE", stream)) }

// AllowConsumerNames permits listing the names of a stream's consumers.
func AllowConsumerNames(stream string) Permissions {
	p := AllowStreamInfo(stream)
	p.Add(AllowPublish(api("CONSUMER.NAMES", stream)))
	return p
}

// AllowConsume permits working on one durable consumer: pull and acknowledge
// messages, release its pin, and create it again if it was deleted. Durable may
// be "*" for all consumers of the stream.
func AllowConsume(stream, durable string) Permissions {
	p := AllowStreamInfo(stream)
	p.Add(AllowPublish(consumerSubjects(stream, durable)...))
	return p
}

// AllowOwnConsumers permits creating, using and deleting consumers of any name on
// a stream, except the shared ones. NATS has no wildcard for the beginning of a
// name, so this includes the own consumers of other identities. The worst that
// can be done to those is to make them deliver again.
func AllowOwnConsumers(stream string, shared []string) Permissions {
	own := func(durable string) []string {
		return append(consumerSubjects(stream, durable), api("CONSUMER.DELETE", stream, durable))
	}
	p := AllowStreamInfo(stream)
	p.Add(AllowPublish(own("*")...))
	for _, durable := range shared {
		p.DenyPublish = append(p.DenyPublish, own(durable)...)
	}
	return p
}

// consumerSubjects returns what a client publishes to when it works on a consumer.
func consumerSubjects(stream, durable string) []string {
	return []string{
		api("CONSUMER.CREATE", stream, durable),
		api("CONSUMER.INFO", stream, durable),
		api("CONSUMER.MSG.NEXT", stream, durable),
		api("CONSUMER.UNPIN", stream, durable),
		"$JS.ACK." + stream + "." + durable + ".>",
		"$JS.ACK.*.*." + stream + "." + durable + ".>", // the form that later servers may use, with domain and account
	}
}

// AllowMonitoring permits listing streams, consumers and NATS services with their
// state, and subscribing to the server's JetStream advisories.
func AllowMonitoring() Permissions {
	return Permissions{
		Publish: []string{api("INFO"), api("STREAM.NAMES"), api("STREAM.LIST"), api("STREAM.INFO", "*"),
			api("CONSUMER.NAMES", "*"), api("CONSUMER.LIST", "*"), api("CONSUMER.INFO", "*", "*"),
			"$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>"},
		Subscribe: []string{"$JS.EVENT.ADVISORY.>"},
	}
}

// AllowAll permits everything within the account.
func AllowAll() Permissions {
	return Permissions{Publish: []string{">"}, Subscribe: []string{">"}}
}
