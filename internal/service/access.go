package service

import (
	"slices"
	"strings"

	"lonja/internal/access"
	"lonja/internal/deadletter"
)

// rebuilders is the identity that a replica tells of a rebuild as it goes on,
// which is more than one answer.
const rebuilders = "operator"

// Access is all that the service touches on NATS, by its table of contents.
func (s *Service) Access(consumers Consumers) access.Grant {
	g := access.Inbox(s.Name)
	g.And(access.Answer("health."+s.Name, "rebuild."+s.Name),
		access.Publish(access.InboxPrefix(rebuilders)+".>"))
	for _, verb := range []string{"PING", "INFO", "STATS"} { // of NATS services
		g.And(access.Answer("$SRV."+verb, "$SRV."+verb+"."+s.Name, "$SRV."+verb+"."+s.Name+".*"))
	}
	for _, d := range s.Deciders {
		g.And(d.Access())
	}
	for _, c := range s.Commands {
		g.And(c.access(), access.Answer("commands."+c.name()))
	}
	for _, q := range s.Queries {
		g.And(access.Answer("queries." + q.name()))
	}
	for _, r := range s.Reactions {
		for _, reflex := range r.Reflexes {
			g.And(reflex.access())
		}
	}
	own := s.consumers(consumers)
	for _, durable := range own {
		g.And(consumes(consumers.Stream(durable), durable))
	}
	if consumers.Has(s.Name + "-deferred") {
		g.And(access.Publish(OutcomeSubject("*")))
	}
	for _, v := range s.Views {
		for _, src := range v.Sources() {
			g.And(deadletter.AccessToKeep(deadletter.Undecodable, src.Stream))
		}
		g.And(v.Access(func(stream string) []string {
			return slices.DeleteFunc(consumers.Shared(stream), func(durable string) bool { return slices.Contains(own, durable) })
		}))
	}
	return g
}

// AccessToAsk is what it takes to ask the service for all that it does, and to
// leave commands for it while it is away.
func (s *Service) AccessToAsk(consumers Consumers) access.Grant {
	g := access.Publish("health." + s.Name)
	for _, c := range s.Commands {
		g.And(access.Publish("commands." + c.name()))
		if consumers.Has(s.Name + "-deferred") {
			g.And(access.Publish(DeferredSubject(c.name(), "*")))
		}
	}
	for _, q := range s.Queries {
		g.And(access.Publish("queries." + q.name()))
	}
	return g
}

// consumers are the names of the shared consumers that the service works on.
func (s *Service) consumers(consumers Consumers) []string {
	var names []string
	for _, r := range s.Reactions {
		names = append(names, r.Consumer)
	}
	for _, kind := range []string{"-retries", "-deferred"} {
		if consumers.Has(s.Name + kind) {
			names = append(names, s.Name+kind)
		}
	}
	return names
}

// consumes is what a shared consumer takes, and what fails of it. What is
// retried is a message of any stream.
func consumes(stream, durable string) access.Grant {
	g := access.Consume(stream, durable)
	from := stream
	if strings.HasSuffix(durable, "-retries") {
		from = "*"
	}
	g.And(deadletter.AccessToKeep(durable, from), deadletter.AccessToKeep(deadletter.Undecodable, from))
	return g
}
