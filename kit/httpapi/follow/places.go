package follow

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"lonja/kit/errs"
)

// places bounds how many may wait at once in one way. Nobody waits for a place.
type places struct {
	doing   string // what those do who have one
	most    int64
	taken   atomic.Int64
	refused prometheus.Counter
}

func newPlaces(r prometheus.Registerer, namespace, name, doing string, most int) (*places, error) {
	p := &places{doing: doing, most: int64(most), refused: prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: name + "_refused_total", Help: "Clients that were refused because too many are " + doing + ".",
	})}
	taken := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: "Clients that are " + doing + "."},
		func() float64 { return float64(p.taken.Load()) })
	return p, errors.Join(r.Register(p.refused), r.Register(taken))
}

// take takes a place until leave, or refuses at once as Unavailable.
func (p *places) take() (leave func(), err error) {
	if p.taken.Add(1) > p.most {
		p.taken.Add(-1)
		p.refused.Inc()
		return nil, errs.New(errs.Unavailable, "too many are %s at this gateway; try again in a moment", p.doing)
	}
	return func() { p.taken.Add(-1) }, nil
}
