package service

import (
	"slices"

	"lonja/kit/bus"
	"lonja/kit/eventlog"
	"lonja/kit/keyring"
	"lonja/kit/natsauth"
	"lonja/kit/revocation"
	"lonja/kit/streams"
)

// Operator is the identity of an operator's connection. It gets several answers to one
// request, as for a rebuild.
const Operator = "operator"

// Permissions returns everything that the service may do on NATS, derived from its
// declaration.
func (s *Service) Permissions(config *streams.Config) natsauth.Permissions {
	g := natsauth.AllowInbox(s.Name)
	g.Add(eventlog.PermissionsToAwaitSync(), natsauth.AllowReply(bus.HealthSubject(s.Name), bus.RebuildSubject(s.Name)),
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
	for _, r := range s.reactions() {
		for _, handler := range r.Handlers {
			g.Add(handler.permissions())
		}
	}
	for i := range s.Timers {
		g.Add(s.Timers[i].permissions())
	}
	for i := range s.Effects {
		g.Add(s.Effects[i].permissions())
	}
	g.Add(natsauth.AllowStreamInfo(bus.DeadLetterStream)) // also to ask for the time
	if config.HasStream(revocation.Stream) {
		g.Add(revocation.PermissionsToFollow())
	}
	if s.Sealed {
		g.Add(keyring.PermissionsToUse())
	}
	own := s.consumers(config)
	for _, durable := range own {
		from := config.StreamOf(durable)
		g.Add(natsauth.AllowConsume(from, durable))
		if durable == s.retries() {
			from = "*" // a retried message may be of any stream
		} else {
			g.Add(natsauth.AllowGet(from)) // to look up retried messages and the events of reminders
		}
		g.Add(bus.PermissionsToDeadLetter(durable, from), bus.PermissionsToDeadLetter(bus.Undecodable, from))
	}
	if config.HasConsumer(s.deferred()) {
		g.Add(natsauth.AllowPublish(bus.OutcomeSubject("*")))
	}
	if len(s.ChangeNotifications) > 0 {
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
	return config.Permissions(g)
}

// ClientPermissions returns what a client needs to send the service commands and queries,
// except for those of operators, to get change notifications, and to defer commands.
func (s *Service) ClientPermissions(config *streams.Config) natsauth.Permissions {
	g := natsauth.AllowPublish(bus.HealthSubject(s.Name))
	for _, c := range s.Commands {
		if c.operatorsOnly() {
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
	if len(s.ChangeNotifications) > 0 {
		g.Add(natsauth.AllowSubscribe(bus.ChangesSubject(s.Name, "*")))
	}
	return g
}

// ClientPermissions returns what a client needs for all of the services, and to read the
// outcomes of deferred commands.
func ClientPermissions(services []*Service, config *streams.Config) natsauth.Permissions {
	g := natsauth.AllowRead(bus.DeferredStream)
	for _, s := range services {
		g.Add(s.ClientPermissions(config))
	}
	return g
}

// consumers returns the names of the shared consumers that the service reads.
func (s *Service) consumers(config *streams.Config) []string {
	var names []string
	for _, r := range s.delivered(config) {
		names = append(names, r.Consumer)
	}
	for _, durable := range []string{s.retries(), s.deferred()} {
		if config.HasConsumer(durable) {
			names = append(names, durable)
		}
	}
	return names
}
