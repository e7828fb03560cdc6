package service

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	gate "lonja/kit/intake"

	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/streams"
)

// intake holds a command that starts something to what reactions carry on.
type intake struct {
	gate   *gate.Gate
	view   *projection.View
	stream string // of the command's event
}

// HeldTo holds the command to what is carried on of what it starts. View, which must read the
// command's stream and mark the entity's id as changed with every event (Tx.MarkChanged), shows
// when that is: at the entity's next event. When that takes longer than target on average, new
// commands wait for a moment; then they are rejected with errs.Unavailable, and nothing is
// recorded. While nothing is carried on at all, another service is down, and all are accepted.
//
// A target of 0 or less holds none. Each replica holds those that it gets, by how long its own wait.
func (h *CommandHandler[S, C]) HeldTo(target time.Duration, view *projection.View) *CommandHandler[S, C] {
	if target > 0 {
		h.intake = &intake{gate.New(target, nil), view, h.decider.Stream()}
	}
	return h
}

func (h *CommandHandler[S, C]) heldBy() *intake { return h.intake }

// admit waits until a command on an entity may be decided. Started must be called with the
// result of the decision. The errors are those of gate.Admit.
func (i *intake) admit(ctx context.Context, entity string) (started func(decider.Receipt, error), err error) {
	if i == nil {
		return func(decider.Receipt, error) {}, nil
	}
	work, err := i.gate.Admit(ctx, entity)
	if err != nil {
		return nil, err
	}
	return func(r decider.Receipt, err error) {
		if err != nil || r.Replayed || r.Record.Event == nil {
			work.Drop()
			return
		}
		work.Started(r.Sequence)
	}, nil
}

// intakesOn returns the intakes whose work shows in a view.
func (s *Service) intakesOn(v *projection.View) (on []*intake) {
	for _, c := range s.Commands {
		if i := c.heldBy(); i != nil && i.view == v {
			on = append(on, i)
		}
	}
	return on
}

// changed tells the gate what its view has committed.
func (i *intake) changed(changes []projection.KeyChange) {
	for _, c := range changes {
		if streams.BaseOf(c.Stream) == i.stream {
			i.gate.Changed(c.Key, c.Sequence)
		}
	}
}

// intakeCollector reads the state of the gates whenever metrics are collected.
type intakeCollector struct {
	service                       *Service
	waiting, limit, wait, refused *prometheus.Desc
}

func newIntakeCollector(d *deps, labels prometheus.Labels) *intakeCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(d.Application+"_intake_"+name, help, []string{"command"}, labels)
	}
	return &intakeCollector{
		service: d.service,
		waiting: desc("waiting", "How many accepted commands wait for what follows from them."),
		limit:   desc("limit", "How many may wait before new commands are held; 0 while nothing is carried on at all, and none is held."),
		wait:    desc("wait_seconds", "How long the last ones waited, on average."),
		refused: desc("refused_total", "Commands that were rejected because more is being asked for than can be carried out."),
	}
}

// Describe implements prometheus.Collector.
func (c *intakeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.waiting, c.limit, c.wait, c.refused} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *intakeCollector) Collect(ch chan<- prometheus.Metric) {
	for _, command := range c.service.Commands {
		i := command.heldBy()
		if i == nil {
			continue
		}
		s := i.gate.State()
		for desc, value := range map[*prometheus.Desc]float64{c.waiting: float64(s.Waiting), c.limit: float64(s.Limit), c.wait: s.Wait.Seconds()} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, command.name())
		}
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(s.Refused), command.name())
	}
}
