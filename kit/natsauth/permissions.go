// Package access says what on NATS a part of lonja needs to touch: exactly
// these subjects, and no others. Each package of the kit grants what its own
// code uses; a service's grant is the sum of what it declares. Whoever makes the
// configuration of a NATS server gives each identity its grant and nothing more.
package natsauth

import (
	"slices"
	"strings"
)

// Permissions is what one identity may publish and subscribe to. The zero Grant
// permits nothing. Subjects may hold wildcards.
type Permissions struct {
	Publish   []string
	Subscribe []string
	// DenyPublish are exceptions from Publish.
	DenyPublish []string
	// AllowResponses allows to answer each request that is received, be it in several parts.
	AllowResponses bool
}

// Add adds what other grants permit.
func (g *Permissions) Add(others ...Permissions) {
	for _, o := range others {
		g.Publish = append(g.Publish, o.Publish...)
		g.Subscribe = append(g.Subscribe, o.Subscribe...)
		g.DenyPublish = append(g.DenyPublish, o.DenyPublish...)
		g.AllowResponses = g.AllowResponses || o.AllowResponses
	}
}

// Sorted is the grant with each subject once, in order.
func (g Permissions) Sorted() Permissions {
	return Permissions{once(g.Publish), once(g.Subscribe), once(g.DenyPublish), g.AllowResponses}
}

func once(subjects []string) []string { return slices.Compact(slices.Sorted(slices.Values(subjects))) }

// InboxPrefix is what the reply subjects of an identity begin with. Nobody else
// may subscribe there, or they could read its answers.
func InboxPrefix(identity string) string { return "_INBOX." + identity }

// AllowInbox lets an identity hear answers.
func AllowInbox(identity string) Permissions {
	return Permissions{Subscribe: []string{InboxPrefix(identity) + ".>"}}
}

// AllowPublish lets publish to subjects.
func AllowPublish(subjects ...string) Permissions { return Permissions{Publish: subjects} }

// AllowSubscribe lets hear what is published on subjects.
func AllowSubscribe(subjects ...string) Permissions { return Permissions{Subscribe: subjects} }

// AllowReply lets take requests on subjects, and answer them.
func AllowReply(subjects ...string) Permissions {
	return Permissions{Subscribe: subjects, AllowResponses: true}
}

// api is a subject of JetStream's API.
func api(parts ...string) string { return "$JS.API." + strings.Join(parts, ".") }

// AllowStreamInfo lets see that a stream is there, and how it is configured.
func AllowStreamInfo(stream string) Permissions { return AllowPublish(api("STREAM.INFO", stream)) }

// AllowRead lets read single messages of a stream, whatever their subject.
func AllowRead(stream string) Permissions {
	g := AllowStreamInfo(stream)
	g.Add(AllowPublish(api("STREAM.MSG.GET", stream), api("DIRECT.GET", stream), api("DIRECT.GET", stream, ">")))
	return g
}

// AllowGet lets read single messages of a stream by their sequence, from its leader.
// The answer is JSON: unlike DIRECT.GET's, it cannot pass for the message itself.
func AllowGet(stream string) Permissions {
	g := AllowStreamInfo(stream)
	g.Add(AllowPublish(api("STREAM.MSG.GET", stream)))
	return g
}

// AllowDelete lets delete single messages of a stream that allows it.
func AllowDelete(stream string) Permissions { return AllowPublish(api("STREAM.MSG.DELETE", stream)) }

// AllowConsume lets pull and acknowledge what a consumer brings, give its pin away,
// and make it anew when it is gone. Durable may be "*".
func AllowConsume(stream, durable string) Permissions {
	g := AllowStreamInfo(stream)
	g.Add(AllowPublish(consumer(stream, durable)...))
	return g
}

// AllowOwnConsumers lets make and delete consumers of one's own on a stream, whatever
// their names, but not touch those that are shared. NATS has no wildcard for
// the beginning of a name, so others' own consumers are not out of reach: what
// can be done to them is to make them deliver again.
func AllowOwnConsumers(stream string, shared []string) Permissions {
	own := func(durable string) []string {
		return append(consumer(stream, durable), api("CONSUMER.DELETE", stream, durable))
	}
	g := AllowStreamInfo(stream)
	g.Add(AllowPublish(own("*")...))
	for _, durable := range shared {
		g.DenyPublish = append(g.DenyPublish, own(durable)...)
	}
	return g
}

// consumer is what whoever works on a consumer publishes to.
func consumer(stream, durable string) []string {
	return []string{
		api("CONSUMER.CREATE", stream, durable),
		api("CONSUMER.INFO", stream, durable),
		api("CONSUMER.MSG.NEXT", stream, durable),
		api("CONSUMER.UNPIN", stream, durable),
		"$JS.ACK." + stream + "." + durable + ".>",
		"$JS.ACK.*.*." + stream + "." + durable + ".>", // as servers of a later version may write it
	}
}

// AllowMonitoring lets see which streams, consumers and NATS services there are and how
// they do, and hear what the server says of them.
func AllowMonitoring() Permissions {
	return Permissions{
		Publish: []string{api("INFO"), api("STREAM.NAMES"), api("STREAM.LIST"), api("STREAM.INFO", "*"),
			api("CONSUMER.NAMES", "*"), api("CONSUMER.LIST", "*"), api("CONSUMER.INFO", "*", "*"),
			"$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>"},
		Subscribe: []string{"$JS.EVENT.ADVISORY.>"},
	}
}

// AllowAll permits everything within the shop's account.
func AllowAll() Permissions {
	return Permissions{Publish: []string{">"}, Subscribe: []string{">"}}
}
