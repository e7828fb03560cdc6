package service

import (
	"slices"

	"lonja/internal/access"
	"lonja/internal/deadletter"
	"lonja/internal/revocation"
	"lonja/internal/streams"
	"lonja/internal/wire"
)

// Operator is the identity of whoever looks after the services. It may be told of
// a rebuild as it goes on, which is more than one answer.
const Operator = "operator"

// Access is all that the service touches on NATS, by its table of contents.
func (s *Service) Access(config *streams.Config) access.Grant {
	g := access.Inbox(s.Name)
	g.And(access.Answer("health."+s.Name, "rebuild."+s.Name),
		access.Publish(access.InboxPrefix(Operator)+".>"))
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
	g.And(access.LookAt(deadletter.Stream))
	if config.Declares(revocation.Stream) {
		g.And(revocation.AccessToFollow())
	}
	own := s.consumers(config)
	for _, durable := range own {
		from := config.Stream(durable)
		g.And(access.Consume(from, durable))
		if durable == s.retries() {
			from = "*" // what is retried is a message of any stream
		} else {
			g.And(access.LookUp(from)) // what is retried, and what a reminder is about
		}
		g.And(deadletter.AccessToKeep(durable, from), deadletter.AccessToKeep(deadletter.Undecodable, from))
	}
	if config.Has(s.deferred()) {
		g.And(access.Publish(wire.OutcomeSubject("*")))
	}
	if len(s.Announces) > 0 {
		g.And(access.Publish(wire.ChangesSubject(s.Name, "*")))
	}
	for _, v := range s.Views {
		for _, src := range v.Sources() {
			g.And(deadletter.AccessToKeep(deadletter.Undecodable, src.Stream))
		}
		g.And(v.Access(func(stream string) []string {
			return slices.DeleteFunc(config.Shared(stream), func(durable string) bool { return slices.Contains(own, durable) })
		}))
	}
	return g
}

// AccessToAsk is what it takes to ask the service for all that it does for others
// than operators, to hear of what changed, and to leave commands for it while it is
// away.
func (s *Service) AccessToAsk(config *streams.Config) access.Grant {
	g := access.Publish("health." + s.Name)
	for _, c := range s.Commands {
		if c.forOperators() {
			continue
		}
		g.And(access.Publish("commands." + c.name()))
		if config.Has(s.deferred()) {
			g.And(access.Publish(wire.DeferredSubject(c.name(), "*")))
		}
	}
	for _, q := range s.Queries {
		g.And(access.Publish("queries." + q.name()))
	}
	if len(s.Announces) > 0 {
		g.And(access.Subscribe(wire.ChangesSubject(s.Name, "*")))
	}
	return g
}

// AccessToAsk is what it takes to ask services for all that they do, to leave
// commands for them and to hear what became of those.
func AccessToAsk(services []*Service, config *streams.Config) access.Grant {
	g := access.Read(wire.DeferredStream)
	for _, s := range services {
		g.And(s.AccessToAsk(config))
	}
	return g
}

// consumers are the names of the shared consumers that the service works on.
func (s *Service) consumers(config *streams.Config) []string {
	var names []string
	for _, r := range s.Reactions {
		names = append(names, r.Consumer)
	}
	for _, durable := range []string{s.retries(), s.deferred()} {
		if config.Has(durable) {
			names = append(names, durable)
		}
	}
	return names
}
