package shows

import (
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// New returns the service: all that it does.
func New() *service.Service {
	entity := decider.EntityType[show]{Subject: "events.show", Stream: "SHOWS", New: newShow, Evolve: evolve}
	shows, view := decider.New(entity), projection.New(viewDefinition)
	return &service.Service{
		Name:  "shows",
		Views: []*projection.View{view},
		Commands: []service.Command{
			service.Handle(shows, schedule),
			service.Handle(shows, buy),
		},
		Queries: []service.Query{
			service.Answer(view, answer(view)).ForEntity(entity.Stream, func(q Show) string { return entity.Filter(q.ShowID) }),
		},
	}
}
