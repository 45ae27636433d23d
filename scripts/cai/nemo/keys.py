"""Keys of NeMo's programs that several modules read."""

LORA_SCHEME = "model.peft.peft_scheme"
TRT_LLM = "trainer.ppo.trt_llm"  # a section, with `enable`
