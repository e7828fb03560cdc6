// Package access says what on NATS a part of lonja needs to touch: exactly
// these subjects, and no others. Each package of the kit grants what its own
// code uses; a service's grant is the sum of what it declares. Whoever makes the
// configuration of a NATS server gives each identity its grant and nothing more.
package access

import (
	"slices"
	"strings"
)

// Grant is what one identity may publish and subscribe to. The zero Grant
// permits nothing. Subjects may hold wildcards.
type Grant struct {
	Publish   []string
	Subscribe []string
	// Never are exceptions from Publish.
	Never []string
	// Answers allows to answer each request that is received, be it in several parts.
	Answers bool
}

// And adds what other grants permit.
func (g *Grant) And(others ...Grant) {
	for _, o := range others {
		g.Publish = append(g.Publish, o.Publish...)
		g.Subscribe = append(g.Subscribe, o.Subscribe...)
		g.Never = append(g.Never, o.Never...)
		g.Answers = g.Answers || o.Answers
	}
}

// Sorted is the grant with each subject once, in order.
func (g Grant) Sorted() Grant {
	return Grant{once(g.Publish), once(g.Subscribe), once(g.Never), g.Answers}
}

func once(subjects []string) []string { return slices.Compact(slices.Sorted(slices.Values(subjects))) }

// InboxPrefix is what the reply subjects of an identity begin with. Nobody else
// may subscribe there, or they could read its answers.
func InboxPrefix(identity string) string { return "_INBOX." + identity }

// Inbox lets an identity hear answers.
func Inbox(identity string) Grant {
	return Grant{Subscribe: []string{InboxPrefix(identity) + ".>"}}
}

// Publish lets publish to subjects.
func Publish(subjects ...string) Grant { return Grant{Publish: subjects} }

// Subscribe lets hear what is published on subjects.
func Subscribe(subjects ...string) Grant { return Grant{Subscribe: subjects} }

// Answer lets take requests on subjects, and answer them.
func Answer(subjects ...string) Grant { return Grant{Subscribe: subjects, Answers: true} }

// api is a subject of JetStream's API.
func api(parts ...string) string { return "$JS.API." + strings.Join(parts, ".") }

// LookAt lets see that a stream is there, and how it is configured.
func LookAt(stream string) Grant { return Publish(api("STREAM.INFO", stream)) }

// Read lets read single messages of a stream, whatever their subject.
func Read(stream string) Grant {
	g := LookAt(stream)
	g.And(Publish(api("STREAM.MSG.GET", stream), api("DIRECT.GET", stream), api("DIRECT.GET", stream, ">")))
	return g
}

// LookUp lets read single messages of a stream by their sequence, from its leader.
// The answer is JSON: unlike DIRECT.GET's, it cannot pass for the message itself.
func LookUp(stream string) Grant {
	g := LookAt(stream)
	g.And(Publish(api("STREAM.MSG.GET", stream)))
	return g
}

// DeleteFrom lets delete single messages of a stream that allows it.
func DeleteFrom(stream string) Grant { return Publish(api("STREAM.MSG.DELETE", stream)) }

// Consume lets pull and acknowledge what a consumer brings, give its pin away,
// and make it anew when it is gone. Durable may be "*".
func Consume(stream, durable string) Grant {
	g := LookAt(stream)
	g.And(Publish(consumer(stream, durable)...))
	return g
}

// ConsumeAlone lets make and delete consumers of one's own on a stream, whatever
// their names, but not touch those that are shared. NATS has no wildcard for
// the beginning of a name, so others' own consumers are not out of reach: what
// can be done to them is to make them deliver again.
func ConsumeAlone(stream string, shared []string) Grant {
	own := func(durable string) []string {
		return append(consumer(stream, durable), api("CONSUMER.DELETE", stream, durable))
	}
	g := LookAt(stream)
	g.And(Publish(own("*")...))
	for _, durable := range shared {
		g.Never = append(g.Never, own(durable)...)
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

// Look lets see which streams, consumers and NATS services there are and how
// they do, and hear what the server says of them.
func Look() Grant {
	return Grant{
		Publish: []string{api("INFO"), api("STREAM.NAMES"), api("STREAM.LIST"), api("STREAM.INFO", "*"),
			api("CONSUMER.NAMES", "*"), api("CONSUMER.LIST", "*"), api("CONSUMER.INFO", "*", "*"),
			"$SRV.PING", "$SRV.PING.>", "$SRV.INFO", "$SRV.INFO.>", "$SRV.STATS", "$SRV.STATS.>"},
		Subscribe: []string{"$JS.EVENT.ADVISORY.>"},
	}
}

// Everything permits everything within the shop's account.
func Everything() Grant {
	return Grant{Publish: []string{">"}, Subscribe: []string{">"}}
}
