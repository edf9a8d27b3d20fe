package main

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// What clients read, and what becomes of workflows when workers come and go.
func init() {
	scenarios["listed_and_counted"] = listedAndCounted
	scenarios["history_is_replayed"] = historyIsReplayed
	scenarios["evicted_from_the_cache"] = evictedFromTheCache
	scenarios["worker_is_replaced"] = workerIsReplaced
	scenarios["namespaces"] = namespaces
	alone["evicted_from_the_cache"] = true
}

func listedAndCounted(s *session) error {
	s.work(flow{"row", func(_ workflow.Context, n int) error {
		if n == 2 {
			return fmt.Errorf("number %d", n)
		}
		return nil
	}})
	for n := range 4 {
		options := s.options()
		options.ID = fmt.Sprintf("%s-%d-%s", "row", n, s.token)
		run := s.startWith(options, "row", n)
		_ = run.Get(s.ctx, nil)
	}
	query := fmt.Sprintf("TaskQueue = '%s' AND ExecutionStatus != 'Running'", s.taskQueue)
	s.until(func() bool {
		reply, err := s.client.CountWorkflow(s.ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
		return err == nil && reply.Count == 4
	})
	groups, err := s.client.CountWorkflow(s.ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Query: fmt.Sprintf("TaskQueue = '%s' GROUP BY ExecutionStatus", s.taskQueue),
	})
	must(err)
	counts := map[string]int64{}
	for _, group := range groups.Groups {
		counts[string(group.GroupValues[0].Data)] = group.Count
	}
	s.note("counts", counts)
	var listed []string
	var page []byte
	for {
		reply, err := s.client.ListWorkflow(s.ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: query, PageSize: 3, NextPageToken: page,
		})
		must(err)
		for _, row := range reply.Executions {
			listed = append(listed, row.Execution.WorkflowId+" "+row.Status.String())
		}
		if page = reply.NextPageToken; len(page) == 0 {
			break
		}
	}
	s.note("listed", listed)
	_, err = s.client.ListWorkflow(s.ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: "Nonsense = 1"})
	s.note("bad query", err)
	return nil
}

func historyIsReplayed(s *session) error {
	double := act{"double", func(_ context.Context, n int) (int, error) { return 2 * n, nil }}
	replayed := flow{"replayed", func(ctx workflow.Context) (total int, err error) {
		for n := range 3 {
			var result int
			if err = workflow.ExecuteActivity(withActivity(ctx, nil), "double", n).Get(ctx, &result); err != nil {
				return
			}
			total += result
		}
		return total, workflow.Sleep(ctx, 20*time.Millisecond)
	}}
	s.work(double, replayed)
	run := s.start("replayed")
	s.await("result", run)
	history := &historypb.History{}
	events := s.client.GetWorkflowHistory(s.ctx, s.id, run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		must(err)
		history.Events = append(history.Events, event)
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(replayed.function, workflow.RegisterOptions{Name: "replayed"})
	s.note("replay", replayer.ReplayWorkflowHistory(silence{}, history))
	other := worker.NewWorkflowReplayer()
	other.RegisterWorkflowWithOptions(func(ctx workflow.Context) error { return workflow.Sleep(ctx, time.Second) },
		workflow.RegisterOptions{Name: "replayed"})
	s.note("replay of other code", other.ReplayWorkflowHistory(silence{}, history) != nil)
	return nil
}

func evictedFromTheCache(s *session) error {
	s.work(waiter)
	run := s.start("waiter")
	s.settled(s.id)
	worker.PurgeStickyWorkflowCache()
	must(s.client.SignalWorkflow(s.ctx, s.id, "", "other", nil))
	s.settled(s.id)
	worker.PurgeStickyWorkflowCache()
	must(s.client.SignalWorkflow(s.ctx, s.id, "", "end", "remembered"))
	s.await("result", run)
	return nil
}

func workerIsReplaced(s *session) error {
	things := []any{waiter, act{"slow", func(context.Context) (string, error) {
		time.Sleep(300 * time.Millisecond)
		return "finished", nil
	}}, flow{"steady", func(ctx workflow.Context) (result []string, err error) {
		var one, word string
		if err = workflow.ExecuteActivity(withActivity(ctx, nil), "slow").Get(ctx, &one); err != nil {
			return
		}
		workflow.GetSignalChannel(ctx, "go on").Receive(ctx, &word)
		err = workflow.ExecuteActivity(withActivity(ctx, nil), "slow").Get(ctx, &one)
		return []string{one, word}, err
	}}}
	first := s.register(worker.Options{WorkerStopTimeout: 5 * time.Second}, things...)
	must(first.Start())
	run := s.start("steady")
	s.until(func() bool {
		found, err := s.client.DescribeWorkflowExecution(s.ctx, s.id, "")
		return err == nil && found.WorkflowExecutionInfo.HistoryLength >= 10 && found.PendingWorkflowTask == nil
	})
	first.Stop()
	must(s.client.SignalWorkflow(s.ctx, s.id, "", "go on", "by the second"))
	s.workWith(worker.Options{}, things...)
	s.await("result", run)
	return nil
}

func namespaces(s *session) error {
	service := s.client.WorkflowService()
	_, err := service.DescribeNamespace(s.ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.name("nowhere")})
	s.note("unknown", err)
	found, err := service.DescribeNamespace(s.ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	must(err)
	s.note("default", found.NamespaceInfo.State.String())
	_, err = client.Dial(client.Options{Logger: silence{}, HostPort: "127.0.0.1:1"})
	s.note("no server there", err != nil)
	return nil
}
