package query

// Each query has a method Answer for those who describe queries. It returns a value of
// the type that the query is answered with. Only the type of the value counts.

func (Product) Answer() any  { return ProductView{} }
func (Products) Answer() any { return List[ProductView]{} }
func (Stock) Answer() any    { return StockView{} }
func (Payment) Answer() any  { return PaymentView{} }

func (FlaggedPayments) Answer() any { return List[PaymentFlag]{} }

func (Order) Answer() any         { return OrderView{} }
func (Orders) Answer() any        { return List[OrderView]{} }
func (OrderTimeline) Answer() any { return []TimelineEntry{} }
func (OrderStatuses) Answer() any { return []StatusChange{} }
func (OrderRefunds) Answer() any  { return []RefundView{} }

func (Receipt) Answer() any { return ReceiptView{} }

func (User) Answer() any         { return UserView{} }
func (Users) Answer() any        { return List[UserView]{} }
func (UserExport) Answer() any   { return UserExportView{} }
func (Keys) Answer() any         { return Keyset{} }
func (StreamTicket) Answer() any { return Ticket{} }
