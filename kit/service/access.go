package service

import (
	"slices"

	"lonja/kit/bus"
	"lonja/kit/natsauth"
	"lonja/kit/revocation"
	"lonja/kit/streams"
)

// Operator is the identity of whoever looks after the services. It may be told of
// a rebuild as it goes on, which is more than one answer.
const Operator = "operator"

// Permissions is all that the service touches on NATS, by its table of contents.
func (s *Service) Permissions(config *streams.Config) natsauth.Permissions {
	g := natsauth.AllowInbox(s.Name)
	g.Add(natsauth.AllowReply(bus.HealthSubject(s.Name), bus.RebuildSubject(s.Name)),
		natsauth.AllowPublish(natsauth.InboxPrefix(Operator)+".>"))
	for _, verb := range []string{"PING", "INFO", "STATS"} { // of NATS services
		g.Add(natsauth.AllowReply("$SRV."+verb, "$SRV."+verb+"."+s.Name, "$SRV."+verb+"."+s.Name+".*"))
	}
	for _, d := range s.Deciders {
		g.Add(d.Permissions())
	}
	for _, c := range s.Commands {
		g.Add(c.permissions(), natsauth.AllowReply(bus.CommandSubject(c.name())))
	}
	for _, q := range s.Queries {
		g.Add(natsauth.AllowReply(bus.QuerySubject(q.name())))
	}
	for _, r := range s.Reactions {
		for _, handler := range r.Handlers {
			g.Add(handler.permissions())
		}
	}
	g.Add(natsauth.AllowStreamInfo(bus.DeadLetterStream))
	if config.HasStream(revocation.Stream) {
		g.Add(revocation.PermissionsToFollow())
	}
	own := s.consumers(config)
	for _, durable := range own {
		from := config.StreamOf(durable)
		g.Add(natsauth.AllowConsume(from, durable))
		if durable == s.retries() {
			from = "*" // what is retried is a message of any stream
		} else {
			g.Add(natsauth.AllowGet(from)) // what is retried, and what a reminder is about
		}
		g.Add(bus.PermissionsToDeadLetter(durable, from), bus.PermissionsToDeadLetter(bus.Undecodable, from))
	}
	if config.HasConsumer(s.deferred()) {
		g.Add(natsauth.AllowPublish(bus.OutcomeSubject("*")))
	}
	if len(s.Announces) > 0 {
		g.Add(natsauth.AllowPublish(bus.ChangesSubject(s.Name, "*")))
	}
	for _, v := range s.Views {
		for _, src := range v.Sources() {
			g.Add(bus.PermissionsToDeadLetter(bus.Undecodable, src.Stream))
		}
		g.Add(v.Permissions(func(stream string) []string {
			return slices.DeleteFunc(config.SharedConsumers(stream), func(durable string) bool { return slices.Contains(own, durable) })
		}))
	}
	return g
}

// ClientPermissions is what it takes to ask the service for all that it does for others
// than operators, to hear of what changed, and to leave commands for it while it is
// away.
func (s *Service) ClientPermissions(config *streams.Config) natsauth.Permissions {
	g := natsauth.AllowPublish(bus.HealthSubject(s.Name))
	for _, c := range s.Commands {
		if c.forOperators() {
			continue
		}
		g.Add(natsauth.AllowPublish(bus.CommandSubject(c.name())))
		if config.HasConsumer(s.deferred()) {
			g.Add(natsauth.AllowPublish(bus.DeferredSubject(c.name(), "*")))
		}
	}
	for _, q := range s.Queries {
		g.Add(natsauth.AllowPublish(bus.QuerySubject(q.name())))
	}
	if len(s.Announces) > 0 {
		g.Add(natsauth.AllowSubscribe(bus.ChangesSubject(s.Name, "*")))
	}
	return g
}

// ClientPermissions is what it takes to ask services for all that they do, to leave
// commands for them and to hear what became of those.
func ClientPermissions(services []*Service, config *streams.Config) natsauth.Permissions {
	g := natsauth.AllowRead(bus.DeferredStream)
	for _, s := range services {
		g.Add(s.ClientPermissions(config))
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
		if config.HasConsumer(durable) {
			names = append(names, durable)
		}
	}
	return names
}
