package perdure.parity;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.Empty;
import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import io.temporal.api.enums.v1.IndexedValueType;
import io.temporal.api.testservice.v1.LockTimeSkippingRequest;
import io.temporal.api.testservice.v1.SleepRequest;
import io.temporal.api.testservice.v1.SleepUntilRequest;
import io.temporal.api.testservice.v1.TestServiceGrpc.TestServiceBlockingStub;
import io.temporal.api.testservice.v1.UnlockTimeSkippingRequest;
import io.temporal.client.WorkflowClient;
import io.temporal.client.WorkflowOptions;
import io.temporal.client.WorkflowStub;
import io.temporal.client.WorkflowUpdateException;
import io.temporal.serviceclient.TestServiceStubs;
import io.temporal.serviceclient.TestServiceStubsOptions;
import io.temporal.testing.TestEnvironmentOptions;
import io.temporal.testing.TestWorkflowEnvironment;
import io.temporal.worker.Worker;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * The test environment of the Java SDK on the test server whose address is the argument: a year
 * passes. Prints a line of JSON: what the workflows returned, and how far time went.
 */
public final class Skipping {
  private static final String QUEUE = "skipping";

  private final Map<String, Object> told = new LinkedHashMap<>();
  private final WorkflowClient client;
  private final TestServiceBlockingStub time;

  private Skipping(WorkflowClient client, TestServiceBlockingStub time) {
    this.client = client;
    this.time = time;
  }

  public static void main(String[] arguments) throws Exception {
    String address = arguments[0];
    TestEnvironmentOptions options =
        TestEnvironmentOptions.newBuilder()
            .setUseExternalService(true)
            .setTarget(address)
            .registerSearchAttribute("Stage", IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
            .build();
    TestServiceStubs stubs =
        TestServiceStubs.newServiceStubs(
            TestServiceStubsOptions.newBuilder().setTarget(address).validateAndBuildWithDefaults());
    try (TestWorkflowEnvironment env = TestWorkflowEnvironment.newInstance(options)) {
      Worker worker = env.newWorker(QUEUE);
      worker.registerWorkflowImplementationTypes(
          Workflows.NapImpl.class,
          Workflows.InsistImpl.class,
          Workflows.DailyImpl.class,
          Workflows.ParentImpl.class,
          Workflows.OrderImpl.class);
      worker.registerActivitiesImplementations(new Workflows.StubbornImpl());
      env.start();
      Skipping skipping = new Skipping(env.getWorkflowClient(), stubs.blockingStub());
      skipping.waits();
      skipping.order();
      skipping.sleeps();
      skipping.locks();
      System.out.println(new ObjectMapper().writeValueAsString(skipping.told));
    } finally {
      stubs.shutdownNow();
    }
  }

  /** Who waits for a result sees time jump. */
  private void waits() {
    long before = nowMs();
    told.put("nap", stub(Workflows.Nap.class, "nap").nap(365));
    told.put("nap_hours", hoursSince(before));
    before = nowMs();
    told.put("retries", stub(Workflows.Insist.class, "insist").insist());
    told.put("retries_hours", hoursSince(before));
    before = nowMs();
    told.put("child", stub(Workflows.Parent.class, "parent").parent(1, 3, 10));
    told.put("child_hours", hoursSince(before));
  }

  /** Time stands for a query and an update, which only ask what is. */
  private void order() {
    Workflows.Order order = stub(Workflows.Order.class, "order");
    long before = nowMs();
    WorkflowClient.start(order::order);
    told.put("query", order.stage());
    try {
      told.put("rejected", order.approve(""));
    } catch (WorkflowUpdateException error) {
      told.put("rejected", error.getCause().getMessage());
    }
    told.put("update", order.approve("Ada"));
    told.put("update_hours", hoursSince(before));
    WorkflowStub untyped = WorkflowStub.fromTyped(order);
    told.put("order", untyped.getResult(String.class));
    told.put("order_hours", hoursSince(before));
    told.put("attribute", untyped.describe().getTypedSearchAttributes().get(Workflows.STAGE));
    told.put("found", client.countWorkflows("Stage = 'approved by Ada'").getCount());
  }

  /** The test itself moves time; what falls due on the way happens. */
  private void sleeps() {
    Workflows.Order order = stub(Workflows.Order.class, "forgotten");
    long before = nowMs();
    WorkflowClient.start(order::order);
    told.put("at_first", order.stage());
    time.sleep(SleepRequest.newBuilder().setDuration(Durations.fromDays(29)).build());
    told.put("after_29_days", order.stage());
    long until = before + TimeUnit.DAYS.toMillis(31);
    time.sleepUntil(SleepUntilRequest.newBuilder().setTimestamp(Timestamps.fromMillis(until)).build());
    told.put("after_31_days", order.stage());
    time.unlockTimeSkippingWithSleep(
        SleepRequest.newBuilder().setDuration(Durations.fromDays(8)).build());
    told.put("sleeps_hours", hoursSince(before));
    told.put("forgotten", WorkflowStub.fromTyped(order).getResult(String.class));
  }

  /** Locked time is real, also for who waits. */
  private void locks() throws TimeoutException {
    time.lockTimeSkipping(LockTimeSkippingRequest.getDefaultInstance());
    Workflows.Nap nap = stub(Workflows.Nap.class, "locked");
    WorkflowStub untyped = WorkflowStub.fromTyped(nap);
    WorkflowClient.start(nap::nap, 1);
    try {
      told.put("locked", untyped.getResult(1, TimeUnit.SECONDS, String.class));
    } catch (TimeoutException error) {
      told.put("locked", "asleep");
    }
    time.unlockTimeSkipping(UnlockTimeSkippingRequest.getDefaultInstance());
    told.put("unlocked", untyped.getResult(10, TimeUnit.SECONDS, String.class));
  }

  private <T> T stub(Class<T> type, String id) {
    WorkflowOptions options =
        WorkflowOptions.newBuilder().setWorkflowId(id).setTaskQueue(QUEUE).build();
    return client.newWorkflowStub(type, options);
  }

  private long nowMs() {
    return Timestamps.toMillis(time.getCurrentTime(Empty.getDefaultInstance()).getTime());
  }

  private long hoursSince(long beforeMs) {
    return TimeUnit.MILLISECONDS.toHours(nowMs() - beforeMs);
  }
}
