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

// healthTimeout bounds the wait for the services' reports.
const healthTimeout = time.Second

type liveness struct {
	Status string `json:"status" example:"ok"`
}

// Alive is the route of a liveness probe. It always answers 200.
func Alive(pattern, summary string) Route {
	return Page(pattern, summary, func(c *Call) error { return c.WriteJSON(http.StatusOK, liveness{"ok"}) },
		AnyQuery, Returns[liveness](http.StatusOK))
}

// Serving is the route of a load balancer's probe: 200 when this process can serve
// requests, whatever the state of the services, and 503 when it is stopping or not
// connected to NATS. Do not use Ready for a balancer: one unavailable service would take
// the whole API down, although the API can answer 202 and 503 for it.
func Serving(pattern, summary string, options ...Option) Route {
	return Page(pattern, summary, serving, append(options, AnyQuery, Returns[liveness](http.StatusOK))...)
}

func serving(c *Call) error {
	switch {
	case isStopping(c.Request):
		return errs.New(errs.Unavailable, "this gateway is stopping; use another one")
	case !c.api.Client.Connected():
		return errs.New(errs.Unavailable, "this gateway is not connected to NATS")
	}
	return c.WriteJSON(http.StatusOK, liveness{"ok"})
}

// Ready is the route that reports whether all of the services are ready, and which are
// not: 200 or 503. Store may be nil. Otherwise it returns a context that is cancelled,
// with the cause, when the store behind the log stops accepting events; once the store
// has recovered, it returns a new context.
func Ready(pattern, summary string, services []string, store func() context.Context) Route {
	return Page(pattern, summary, func(c *Call) error {
		report := c.readiness(services)
		if store != nil {
			if cause := context.Cause(store()); cause != nil {
				report.Ready, report.Store = false, cause.Error()
			}
		}
		if !report.Ready {
			return c.WriteJSON(http.StatusServiceUnavailable, report)
		}
		return c.WriteJSON(http.StatusOK, report)
	}, AnyQuery, Returns[readiness](http.StatusOK), returnsAlso[readiness](http.StatusServiceUnavailable, "A service is not ready"))
}

// Metrics is the route that Prometheus scrapes.
func Metrics(pattern, summary string) Route {
	return Route{func(a *API, tag string) {
		page := promhttp.HandlerFor(a.Registry, promhttp.HandlerOpts{Registry: a.Registry})
		Page(pattern, summary, func(c *Call) error {
			page.ServeHTTP(c.Writer, c.Request)
			return nil
		}, AnyQuery, ReturnsText("text/plain")).add(a, tag)
	}}
}

// readiness is the response of Ready.
type readiness struct {
	Ready    bool                   `json:"ready"`
	Store    string                 `json:"store,omitempty" doc:"Why the store behind the log accepts no events, if the gateway knows" example:"the disk is full"`
	Services map[string]serviceIsUp `json:"services"`
}

type serviceIsUp struct {
	Status    string   `json:"status" enum:"ready,missing,behind,failed"`
	Log       string   `json:"log,omitempty" doc:"Why the log accepts no events"`
	Views     []string `json:"views,omitempty" doc:"Which views are behind or have failed"`
	Consumers []string `json:"consumers,omitempty" doc:"Consumers of reactions that are stalled: there are events, but none is delivered"`
}

// readiness asks all services for their health at the same time.
func (c *Call) readiness(services []string) readiness {
	ctx, cancel := context.WithTimeout(c.Request.Context(), healthTimeout)
	defer cancel()
	statuses := make([]serviceIsUp, len(services))
	var pending sync.WaitGroup
	for i, name := range services {
		pending.Go(func() { statuses[i] = statusOf(c.api.Client.Health(ctx, name)) })
	}
	pending.Wait()
	report := readiness{Ready: true, Services: map[string]serviceIsUp{}}
	for i, name := range services {
		report.Services[name] = statuses[i]
		report.Ready = report.Ready && statuses[i].Status == "ready"
	}
	return report
}

// statusOf summarizes the health of a service's replicas. One ready replica is enough;
// otherwise the status is that of the last one.
func statusOf(replicas []bus.Health) serviceIsUp {
	last := serviceIsUp{Status: "missing"}
	for _, h := range replicas {
		if h.Ready {
			return serviceIsUp{Status: "ready"}
		}
		last = serviceIsUp{Status: "behind", Log: h.Log, Consumers: h.Stalled}
		if h.Log != "" {
			last.Status = "failed"
		}
		for _, v := range h.Views {
			if v.Failed != "" {
				last.Status = "failed"
			}
			// A view without a reason is named only when there is no other reason.
			if v.Failed != "" || len(v.Stalled) > 0 || h.Log == "" && len(h.Stalled) == 0 {
				last.Views = append(last.Views, v.Name)
			}
		}
	}
	return last
}
