package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lonja/kit/bus"
	"lonja/kit/errs"
)

// readyWithin is how long the services have to say how they do.
const readyWithin = time.Second

type liveness struct {
	Status string `json:"status" example:"ok"`
}

// Alive is the route of a probe that asks whether the process lives: always 200.
func Alive(pattern, summary string) Route {
	return Page(pattern, summary, func(c *Call) error { return c.WriteJSON(http.StatusOK, liveness{"ok"}) },
		AnyQuery, Returns[liveness](http.StatusOK))
}

// Serving is the route of a balancer's probe: 200 when this process can serve,
// whatever the services do, and 503 when it is about to stop or has lost NATS. A
// balancer wants this and not Ready: one service that is away must not take the
// whole front down, which has 202 and 503 for that.
func Serving(pattern, summary string, options ...Option) Route {
	return Page(pattern, summary, serving, append(options, AnyQuery, Returns[liveness](http.StatusOK))...)
}

func serving(c *Call) error {
	switch {
	case isStopping(c.Request):
		return errs.New(errs.Unavailable, "this gateway is stopping; ask another one")
	case !c.api.Client.Connected():
		return errs.New(errs.Unavailable, "this gateway is not connected to NATS")
	}
	return c.WriteJSON(http.StatusOK, liveness{"ok"})
}

// Ready is the route that says whether all of these services are there, and which
// one is not: 200 or 503. Store, which may be nil, is a context that ends, and says
// why, when the store behind the log takes no events any more; after that it is
// another one.
func Ready(pattern, summary string, services []string, store func() context.Context) Route {
	return Page(pattern, summary, func(c *Call) error {
		all := c.readiness(services)
		if store != nil {
			if why := context.Cause(store()); why != nil {
				all.Ready, all.Store = false, why.Error()
			}
		}
		if !all.Ready {
			return c.WriteJSON(http.StatusServiceUnavailable, all)
		}
		return c.WriteJSON(http.StatusOK, all)
	}, AnyQuery, Returns[readiness](http.StatusOK), returnsToo[readiness](http.StatusServiceUnavailable, "A service is not ready"))
}

// Metrics is the route that Prometheus reads.
func Metrics(pattern, summary string) Route {
	return Route{func(a *API, tag string) {
		page := promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{Registry: a.Registry})
		Page(pattern, summary, func(c *Call) error {
			page.ServeHTTP(c.Writer, c.Request)
			return nil
		}, AnyQuery, ReturnsText("text/plain")).add(a, tag)
	}}
}

// readiness says whether all services are there.
type readiness struct {
	Ready    bool                   `json:"ready"`
	Store    string                 `json:"store,omitempty" doc:"Why the store behind the log takes no events, where the gateway knows" example:"the disk is full"`
	Services map[string]serviceIsUp `json:"services"`
}

type serviceIsUp struct {
	Status    string   `json:"status" enum:"ready,missing,behind,failed"`
	Log       string   `json:"log,omitempty" doc:"Why the log takes no events"`
	Views     []string `json:"views,omitempty" doc:"Which views are behind or have failed"`
	Consumers []string `json:"consumers,omitempty" doc:"Which reactions' consumers stand still although there is more"`
}

// readiness asks all services at the same time.
func (c *Call) readiness(services []string) readiness {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyWithin)
	defer cancel()
	found := make([]serviceIsUp, len(services))
	var asking sync.WaitGroup
	for i, name := range services {
		asking.Go(func() { found[i] = judge(c.api.Client.Health(ctx, name)) })
	}
	asking.Wait()
	all := readiness{Ready: true, Services: map[string]serviceIsUp{}}
	for i, name := range services {
		all.Services[name] = found[i]
		all.Ready = all.Ready && found[i].Status == "ready"
	}
	return all
}

// judge makes one word of what a service's replicas say. One that is ready is
// enough.
func judge(replicas []bus.Health) serviceIsUp {
	worst := serviceIsUp{Status: "missing"}
	for _, h := range replicas {
		if h.Ready {
			return serviceIsUp{Status: "ready"}
		}
		worst = serviceIsUp{Status: "behind", Log: h.Log, Consumers: h.Behind}
		if h.Log != "" {
			worst.Status = "failed"
		}
		for _, v := range h.Views {
			if v.Failed != "" {
				worst.Status = "failed"
			}
			// One that nothing is said of is named when nothing else is the reason.
			if v.Failed != "" || len(v.Behind) > 0 || h.Log == "" && len(h.Behind) == 0 {
				worst.Views = append(worst.Views, v.Name)
			}
		}
	}
	return worst
}
